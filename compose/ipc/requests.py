"""What can be asked for over the control socket: one class per operation.

A request travels as `{"op": "stop", …}` with its fields as further keys. Unknown keys are ignored and missing ones have
their defaults, so that versions that differ in a field understand each other. A new operation is a class here, and a
method in supervisor/handlers (dispatch.py has the table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pycompose.engine.config import Limits, from_json, plain
from pycompose.engine.dataclass import dataclass, field, fields
from pycompose.engine.errors import StateError
from pycompose.engine.images.spec import Image
from pycompose.ipc.messages import ChangeResult, DownResult, ExecResult, SessionResult, WatcherResult
from pycompose.ipc.protocol import Message
from pycompose.model import Dependency, Project, Restart
from pycompose.policy.options import Recreate

R = TypeVar("R")

if TYPE_CHECKING:

    class _With(Generic[R]):
        pass

else:

    class _With:
        """What stands for typing.Generic, which would double the time that this module takes to import (1.2 ms)."""

        __slots__ = ()

        def __class_getitem__(cls, _: Any) -> Any:
            return cls


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorRequest(_With[R]):
    """An operation of the supervisor.

    One that is `repeatable` does the same when it is done twice: it is asked for again when a process of ours has died
    before it was done (retry.py). `result` is what it returns, `R` for the type checker.
    """

    op: ClassVar[str]
    repeatable: ClassVar[bool] = False
    result: ClassVar[Any] = ChangeResult

    def to_message(self) -> Message:
        """Return what travels; `request_from_message` is the inverse."""
        return {"op": self.op, **{item.name: plain(getattr(self, item.name)) for item in fields(self)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainersRequest(SupervisorRequest[R]):
    """Is about the containers with these ids, else about those of these services, of all for none named."""

    services: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest(ContainersRequest[R]):
    """Walks a plan, `parallel` operations at a time (None: all that can); with `dry_run` only tells of them."""

    dry_run: bool = False
    parallel: int | None = None


# ---------------------------------------------------------------------- that change the project


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRequest(PlanRequest[ChangeResult]):
    """`up`, `create`, `scale`: make the project what it says.

    `services` are those in scope, dependencies included; `named` those that the user named. `images` are by service,
    and by "image:REFERENCE" for mounted ones. ReconcileOptions (policy/options.py) explains the others. With `wait`
    it is done when all are running, or healthy where there is a healthcheck, for at most `wait_timeout_s`. With
    `hook_output`, events tell what hooks print.
    """

    op = "apply"
    repeatable = True

    project: Project
    images: dict[str, Image] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    recreate: Recreate = Recreate.DIVERGED
    recreate_dependencies: Recreate = Recreate.DIVERGED
    renew_volumes: bool = False
    expendable_volumes: tuple[str, ...] = ()
    forced: tuple[str, ...] | None = None
    remove_orphans: bool = False
    ignore_orphans: bool = False
    open_firewall: bool = False
    all_resources: bool = False
    start: bool = True
    timeout_s: float | None = None
    wait: bool = False
    wait_timeout_s: float | None = None
    hook_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DownRequest(PlanRequest[DownResult]):
    """Stop and remove containers and networks, with `volumes` the data too. Without a `project` all that is there."""

    op = "down"
    repeatable = True
    result = DownResult

    project: Project | None = None
    remove_orphans: bool = False
    volumes: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest(PlanRequest[ChangeResult]):
    """Start what exists, dependencies first; `wait` as in ApplyRequest.

    With `project`, which is given where there are any, secrets and configs are made anew.
    """

    op = "start"
    repeatable = True

    project: Project | None = None
    wait: bool = False
    wait_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest(PlanRequest[ChangeResult]):
    """Stop containers, dependants first. Those that are stopped with the machine `returns`: they come back with it.

    `hook_output` as in ApplyRequest; `signal`, a name or number, goes before the services' own.
    """

    op = "stop"
    repeatable = True

    timeout_s: float | None = None
    signal: str = ""
    returns: bool = False
    hook_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRequest(PlanRequest[ChangeResult]):
    """Stop in reverse order, start in order; with dependants that declared `restart: true` unless `no_deps`.

    `signal` as in StopRequest.
    """

    op = "restart"
    repeatable = True

    timeout_s: float | None = None
    signal: str = ""
    no_deps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRequest(PlanRequest[ChangeResult]):
    """Send a signal (name or number) to all at once."""

    op = "kill"

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRequest(PlanRequest[ChangeResult]):
    """Remove stopped containers, with `stop` running ones too, with `volumes` their anonymous volumes.

    With `kill` those that run are killed first: nobody is told that they were stopped.
    """

    op = "rm"
    repeatable = True

    stop: bool = False
    kill: bool = False
    volumes: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequest(PlanRequest[ChangeResult]):
    """Freeze containers, or let them go on; `again` if that has been tried, and some may be so already."""

    op = "pause"
    repeatable = True

    pause: bool
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest(SupervisorRequest[ChangeResult]):
    """Keep everybody else from changing the project until the client hangs up; `pause` are frozen for as long."""

    op = "hold"

    pause: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRequest(SupervisorRequest[ChangeResult]):
    """Take the project down when the asking process has ended and no other owner is left, with `volumes` its data."""

    op = "own"
    repeatable = True

    volumes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DisownRequest(SupervisorRequest[ChangeResult]):
    """The asking process owns the project no more, if others do (`nothing` of the result) or it is to stay (`keep`).

    Else it still does, until it has taken it down.
    """

    op = "disown"

    keep: bool = False


# ---------------------------------------------------------------------- that change one container


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameRequest(ContainersRequest[ChangeResult]):
    """Give a container another name."""

    op = "rename"
    repeatable = True

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRequest(ContainersRequest[ChangeResult]):
    """Change the limits that aren't at their defaults here, and the restart policy unless it is None."""

    op = "update"
    repeatable = True

    limits: Limits = field(default_factory=Limits)
    restart: Restart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest(ContainersRequest[ChangeResult]):
    """Put a container on one more network, with further names there and addresses of its own ("": any).

    `links` are names of other containers, each with what this one calls it from now on; `options` are the driver's.
    """

    op = "connect"

    network: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    link_local: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectRequest(ContainersRequest[ChangeResult]):
    """Take a container off a network."""

    op = "disconnect"

    network: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshNamesRequest(SupervisorRequest[ChangeResult]):
    """Look again who of other projects is on the project's networks; one supervisor asks it of another."""

    op = "neighbours"


# ---------------------------------------------------------------------- that connect to a process

# Which of stdin, stdout and stderr come with the message as descriptors, in this order.
Streams = tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest(SupervisorRequest[ExecResult]):
    """Start a command in a running container: of `service` and number `index` (0: the lowest), or with this `id`.

    `env` sets variables, None takes one away. The answer's descriptor is the terminal, where there is one. The exit
    code follows unless it is to `detach`.
    """

    op = "exec"
    result = ExecResult

    service: str = ""
    index: int = 0
    id: str = ""
    args: tuple[str, ...]
    user: str = ""
    cwd: str = ""
    env: dict[str, str | None] = field(default_factory=dict)
    privileged: bool = False
    tty: bool = False
    detach: bool = False
    rows: int = 0
    columns: int = 0
    fds: Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest(SupervisorRequest[SessionResult]):
    """Connect to process 1 of a running container: its output from now on, then its exit code.

    The container is found as in ExecRequest. With `waits`, one with this `id` need not run: it is answered at once, and
    when somebody starts it a JoinedMessage follows, with its input if `stdin` asks for it.
    """

    op = "attach"
    result = SessionResult

    service: str = ""
    index: int = 0
    id: str = ""
    waits: bool = False
    stdin: bool = False
    fds: Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(SupervisorRequest[SessionResult]):
    """Make a one-off container of a service, start it when its dependencies' conditions are met, and connect to it.

    `remove`: it is removed when it has ended. `warn_of_orphans`: of containers whose service the project doesn't have.
    """

    op = "run"
    result = SessionResult

    project: Project
    images: dict[str, Image] = field(default_factory=dict)
    service: str
    name: str
    dependencies: tuple[Dependency, ...] = ()
    remove: bool = False
    start: bool = True
    detach: bool = False
    warn_of_orphans: bool = False
    rows: int = 0
    columns: int = 0
    fds: Streams = (False, False, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest(SupervisorRequest[SessionResult]):
    """Start a container that exists, unless it runs, and connect to it; `stdin`: with an input of our own."""

    op = "launch"
    result = SessionResult

    id: str
    stdin: bool = False
    rows: int = 0
    columns: int = 0
    fds: Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class RejoinRequest(SupervisorRequest[ChangeResult]):
    """Wait for the exit code of a container whose supervisor, to whom one was connected, has died."""

    op = "rejoin"

    container: str


# ---------------------------------------------------------------------- that only look


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRequest(ContainersRequest[ChangeResult]):
    """Tell of each container as it stops."""

    op = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeRequest(SupervisorRequest[ChangeResult]):
    """Tell of every event of a container, first of those since `since_ns` (CLOCK_REALTIME; 0: none).

    Who listens in the `background` doesn't keep the supervisor from ending.
    """

    op = "subscribe"

    since_ns: int | None = None
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest(SupervisorRequest[ChangeResult]):
    """Be the project's watcher (live reload) until the client hangs up: there is one, process `pid`.

    Every event of a container is told, and before one of `services` starts a StartingMessage waits for its answer.
    One in the `background` doesn't keep the supervisor from ending.
    """

    op = "watch"

    services: tuple[str, ...]
    pid: int
    background: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWatcherRequest(SupervisorRequest[WatcherResult]):
    """Watch the project in the background: by the command line `args`, in `directory`, with `environment`."""

    op = "watch-start"
    result = WatcherResult

    args: tuple[str, ...]
    directory: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWatcherRequest(SupervisorRequest[ChangeResult]):
    """Watch it no more."""

    op = "watch-stop"


REQUESTS: dict[str, type[SupervisorRequest[Any]]] = {
    kind.op: kind
    for kind in (
        ApplyRequest, DownRequest, StartRequest, StopRequest, RestartRequest, KillRequest, RemoveRequest,
        PauseRequest, HoldRequest, OwnRequest, DisownRequest,
        RenameRequest, UpdateRequest, ConnectRequest, DisconnectRequest, RefreshNamesRequest,
        ExecRequest, AttachRequest, RunRequest, LaunchRequest, RejoinRequest, WaitRequest, SubscribeRequest,
        WatchRequest, StartWatcherRequest, StopWatcherRequest,
    )
}  # fmt: skip


def request_from_message(message: Message) -> SupervisorRequest[Any]:
    """Return the request that a message is; raises StateError for what isn't one."""
    kind = REQUESTS.get(str(message.get("op")))
    if kind is None:
        raise StateError(f"control socket: unknown operation {message.get('op')!r}")
    try:
        return from_json(kind, message)
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise StateError(f"control socket: cannot understand {kind.op!r}: {exc}") from exc
