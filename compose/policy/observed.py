"""A project as it is: what decisions are made from. state/snapshot.py reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.state import Status
from pycompose.labels import (
    CONFIG_HASH,
    DEPENDS_ON,
    HOOK,
    NETWORK,
    NUMBER,
    ONEOFF,
    PROJECT,
    REPLACE,
    SERVICE,
    VOLUME,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.state import ContainerState
    from pycompose.model import Dependency, Project, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """A port of a container and where it is published now; `host_port` 0 is nowhere."""

    host_ip: str = ""
    host_port: int = 0
    protocol: str = "tcp"
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """An address that a container has now. `network` is the name on the machine."""

    network: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    gateway: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRecord:
    """`run/containers/ID/runtime.json`: what a start has set up, and whether somebody asked for the end.

    `restarting`: another start follows the run that began at `after_ns` (ContainerState.started_ns).
    """

    ports: tuple[PortBinding, ...] = ()
    endpoints: tuple[EndpointRecord, ...] = ()
    exposed: tuple[str, ...] = ()
    stopped: bool = False
    restarting: bool = False
    after_ns: int = 0
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContainer:
    """One container as its files and /proc show it.

    The rest is the supervisor's own word, and has its defaults where nobody has asked it. `active`: it runs or will;
    while it starts again the files say neither. `stopped`: somebody wanted it to stop, `stopping`: it has been told,
    and has not ended. `runs` counts its starts by this supervisor. `definition` is the service that it was made from,
    `takes_over` the id of the container whose ports and names it is to get when it is ready. `auto_remove`: it goes
    when it has ended.
    """

    config: ContainerConfig
    state: ContainerState
    active: bool = False
    stopped: bool = False
    stopping: bool = False
    runs: int = 0
    definition: Service | None = None
    takes_over: str = ""
    auto_remove: bool = False
    health: dict[str, Any] = field(default_factory=dict)
    runtime: RuntimeRecord = field(default_factory=RuntimeRecord)

    @property
    def id(self) -> str:
        """64 hex digits."""
        return self.config.id

    @property
    def name(self) -> str:
        """The container's name."""
        return self.config.name

    @property
    def service(self) -> str:
        """Key of the service it belongs to."""
        return self.config.labels.get(SERVICE, "")

    @property
    def number(self) -> int:
        """Replica number, from 1."""
        return int(self.config.labels.get(NUMBER, "1"))

    @property
    def oneoff(self) -> bool:
        """Whether it is none of the service's replicas: `run` has made it, or a hook runs in it."""
        return self.config.labels.get(ONEOFF, "False") == "True" or bool(self.hook)

    @property
    def hook(self) -> str:
        """Kind of the hook that it was made for ("pre_start"), "" for others."""
        return self.config.labels.get(HOOK, "")

    @property
    def replaces(self) -> str:
        """Id of the container it was made to replace, "" for one that was not."""
        return self.config.labels.get(REPLACE, "")

    @property
    def half_way(self) -> bool:
        """Whether it was started beside the one it replaces and has not got its own name yet."""
        return bool(self.replaces) and self.name.startswith(f"{self.replaces[:12]}_")

    @property
    def config_hash(self) -> str:
        """Hash of the service it was made from."""
        return self.config.labels.get(CONFIG_HASH, "")

    @property
    def running(self) -> bool:
        """Whether its process exists (running, paused) or is about to again (restarting)."""
        runs = self.state.status in (Status.RUNNING, Status.PAUSED)
        return runs or self.active or self.waits

    @property
    def waits(self) -> bool:
        """Whether it has ended and is about to start again; while it does, the files still tell of the last run."""
        ended = self.state.status is Status.EXITED and self.runtime.restarting
        return ended and self.runtime.after_ns == self.state.started_ns

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Services it depends on, from its label `db:service_healthy:false,…`."""
        return tuple(
            item.split(":", 1)[0] for item in self.config.labels.get(DEPENDS_ON, "").split(",") if item
        )

    @property
    def depends_on(self) -> tuple[Dependency, ...]:
        """What it depends on, by its definition."""
        return self.definition.depends_on if self.definition is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedResource:
    """A network or a volume of the machine, by its labels.

    `made_from` is the hash of the configuration that it was made from, "" when nobody knows; `project` has made it for
    what its compose file calls `key`. An `anonymous` volume belongs to one container.
    """

    made_from: str = ""
    project: str = ""
    key: str = ""
    anonymous: bool = False

    @classmethod
    def of(cls, labels: Mapping[str, str], *, anonymous: bool = False) -> ObservedResource:
        """Return what its labels say."""
        return cls(
            made_from=labels.get(CONFIG_HASH, ""),
            project=labels.get(PROJECT, ""),
            key=labels.get(NETWORK, "") or labels.get(VOLUME, ""),
            anonymous=anonymous,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A project as it is.

    `networks` and `volumes` are all of the machine, by name; the data of volumes lies below `volumes_root`, and
    `strangers` has the containers of other projects that use one. `broken` are ids that were claimed but never got a
    configuration (a killed `up`). `hooks_done` are the keys of `pre_start` hooks that have succeeded
    (startup.hook_key).
    """

    project: str
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedResource] = field(default_factory=dict)
    volumes: Mapping[str, ObservedResource] = field(default_factory=dict)
    volumes_root: str = ""
    strangers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    hooks_done: frozenset[str] = frozenset()

    def of_service(self, service: str) -> list[ObservedContainer]:
        """Return the service's containers (no one-offs) by number."""
        found = [item for item in self.containers if item.service == service and not item.oneoff]
        return sorted(found, key=lambda item: (item.number, item.config.created_ns))

    def volumes_of(self, containers: Iterable[ObservedContainer]) -> set[str]:
        """Return the names of the volumes that containers mount."""
        root = f"{self.volumes_root}/"
        return {
            mount.source.removeprefix(root).partition("/")[0]
            for container in containers
            for mount in container.config.mounts
            if mount.source.startswith(root)
        }


def orphans(project: Project, observed: Observed) -> list[ObservedContainer]:
    """Return the containers whose service the project no longer has (disabled ones count as had)."""
    known = known_services(project)
    return [item for item in observed.containers if item.service not in known and not item.oneoff]


def known_services(project: Project) -> set[str]:
    """Return the services that the project has, disabled ones included."""
    return {*project.services, *project.disabled_services}
