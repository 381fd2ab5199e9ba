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
