"""What the use cases give back: plain facts, in machine units.

How they look is the command line's affair.

Moments are CLOCK_REALTIME nanoseconds, 0 is never. `container` is the full container name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.dataclass import dataclass, field
from pycompose.labels import ENGINE

if TYPE_CHECKING:
    from pycompose.policy.observed import EndpointRecord, PortBinding


@dataclass(frozen=True, slots=True, kw_only=True)
class MountView:
    """One mount the user asked for; `kind` is bind, volume or tmpfs, `source` a volume's name or a host path.

    `local` tells a volume that lies on this machine.
    """

    kind: str
    source: str
    target: str
    local: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container.

    `command` is the argument list (entrypoint first). `state` is Docker's word: created, running, paused,
    restarting, removing, exited, dead. `health` is "", starting, healthy or unhealthy. `exit_code` counts
    only when exited or restarting; `exit_code_known` is False when nobody could reap the process.
    `network_mode` is host, none or container:ID for who has no networks of its own,
    `endpoints` are its addresses while it runs.
    """

    id: str
    name: str
    image: str
    command: tuple[str, ...]
    project: str
    service: str
    state: str
    number: int = 1
    oneoff: bool = False
    health: str = ""
    exit_code: int = 0
    exit_code_known: bool = True
    created_ns: int = 0
    started_ns: int = 0
    finished_ns: int = 0
    pid: int = 0
    restart_count: int = 0
    oom_killed: bool = False
    image_id: str = ""
    ports: tuple[PortBinding, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    mounts: tuple[MountView, ...] = ()
    networks: tuple[str, ...] = ()
    network_mode: str = ""
    endpoints: tuple[EndpointRecord, ...] = ()
    size_bytes: int | None = None

    @property
    def engine(self) -> str:
        """What somebody has labelled it with; Compose 5.5 shows that."""
        return self.labels.get(ENGINE, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """One project: `counts` holds (state, number of containers), `config_files` absolute paths.

    `watcher` is the process that watches it in the background, 0 for none.
    """

    name: str
    counts: tuple[tuple[str, int], ...]
    config_files: tuple[str, ...] = ()
    watcher: int = 0


class ContainerLogLine(NamedTuple):
    """One line of output, of any bytes, without its newline. `stream` is "stdout" or "stderr"."""

    container: str
    service: str
    data: bytes
    number: int = 1
    stream: str = "stdout"
    stamp_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A followed container has been started; `again` when it ran before (restart)."""

    container: str
    service: str
    number: int = 1
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """A followed container has ended, at `time_ns`. `restarting` when its restart policy brings it back."""

    container: str
    service: str
    exit_code: int
    number: int = 1
    exit_code_known: bool = True
    restarting: bool = False
    time_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recreated:
    """A followed container has been replaced by a new one of the same name."""

    container: str
    service: str
    number: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """`wait`: a container has stopped."""

    container_id: str
    container: str
    service: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """An image as a container uses it; `image_id` is "sha256:HEX", `created_ns` the image's own date."""

    container: str
    repository: str
    tag: str
    image_id: str
    platform: str = ""
    size_bytes: int = 0
    created_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """A named or anonymous volume."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    links: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessView:
    """One process of a container, pids as the host sees them. `cpu_percent` is over its life, as ps(1) C."""

    container: str
    service: str
    number: int
    uid: str
    pid: int
    ppid: int
    cpu_percent: int = 0
    started_ns: int = 0
    tty: str = "?"
    cpu_time_s: float = 0.0
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One event of a container's life, or (`kind`) of an image's, a network's or a volume's.

    `action` is create, start, die, stop, kill, restart, pause, unpause, destroy, oom, `health_status:
    healthy`, exec_create …. `attributes` hold image, name, exitCode, signal and the labels that Compose
    doesn't own. Of others than containers, `container_id` is their id.
    """

    time_ns: int
    action: str
    container_id: str
    service: str
    attributes: dict[str, str] = field(default_factory=dict)
    kind: str = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsView:
    """One sample of one container; the counters of network and disk run since its start.

    `cpu_percent` counts each processor as 100. `memory_limit_bytes` is the machine's memory without a limit. What is
    `uncounted` ("cpu", "memory", "block", "pids") is 0 for lack of a control group that counts it.
    """

    container_id: str
    container: str
    service: str
    number: int = 1
    running: bool = True
    uncounted: tuple[str, ...] = ()
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    network_received_bytes: int = 0
    network_sent_bytes: int = 0
    block_read_bytes: int = 0
    block_written_bytes: int = 0
    pids: int = 0
