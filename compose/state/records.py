"""What the supervisor knows of a container beyond the engine's config: `service.json` and `runtime.json`.

With both, restart, health, networks and ports go on after a crash without the compose file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json, write_json
from pycompose.model import Network, Service
from pycompose.policy.health import HealthSpec
from pycompose.policy.observed import RuntimeRecord
from pycompose.policy.ready import ReadySpec

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """`containers/ID/service.json`: the service as it was when the container was made, and its networks by key.

    `takes_over` is the id of the container whose ports and names it is to get when it is ready. `lease` tells the
    addresses of the two apart: a replica has one set of them, and one more for being replaced by a running one.
    `image_ports` are those that the image exposes ("80/tcp").
    """

    service: Service
    networks: dict[str, Network] = field(default_factory=dict)
    health: HealthSpec | None = None
    ready: ReadySpec | None = None
    number: int = 1
    oneoff: bool = False
    auto_remove: bool = False
    publish: bool = True
    anonymous_volumes: tuple[str, ...] = ()
    takes_over: str = ""
    lease: str = ""
    image_ports: tuple[str, ...] = ()

    @property
    def exposed(self) -> tuple[str, ...]:
        """The ports that are published, exposed by the service or by its image, one by one, as `80/tcp`."""
        ports = [f"{port.target}/{port.protocol}" for port in self.service.ports]
        for text in (*self.service.expose, *self.image_ports):
            numbers, _, protocol = text.partition("/")
            first, _, last = numbers.partition("-")
            if (first + last).isdecimal():
                ports += [f"{n}/{protocol or 'tcp'}" for n in range(int(first), int(last or first) + 1)]
        return tuple(dict.fromkeys(ports))


def read_service(paths: StatePaths, container_id: str) -> ServiceRecord:
    """Return the service record; raises FileNotFoundError."""
    return from_json(ServiceRecord, read_json(paths.container(container_id) / "service.json"))


def write_service(paths: StatePaths, container_id: str, record: ServiceRecord) -> None:
    """Write the service record; a container's files reach the disk together (runtime.sync)."""
    write_json(paths.container(container_id) / "service.json", plain(record), durable=False)


def read_runtime(paths: StatePaths, container_id: str) -> RuntimeRecord:
    """Return the runtime record, an empty one when there is none."""
    try:
        return from_json(RuntimeRecord, read_json(paths.container_run(container_id) / "runtime.json"))
    except FileNotFoundError:
        return RuntimeRecord()


def write_runtime(paths: StatePaths, container_id: str, record: RuntimeRecord) -> None:
    """Write the runtime record (tmpfs: nothing to sync)."""
    directory = paths.container_run(container_id)
    make_directory(directory)
    write_json(directory / "runtime.json", plain(record), durable=False)
