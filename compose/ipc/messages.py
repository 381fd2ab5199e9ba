"""What travels over the control socket besides requests, and the results of these.

A message is the JSON object of its fields, and its first field's name tells which it is: `{"exit": 0}`.
"""

from __future__ import annotations

from typing import Any

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass, fields
from pycompose.errors import SupervisorError
from pycompose.events import ContainerEvent, Event
from pycompose.ipc.protocol import Message

# ---------------------------------------------------------------------- results of requests


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """The change is made; `nothing`: there was nothing to do."""

    nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DownResult:
    """The project is down; `nothing`: it was. When the supervisor `ends` with it, the connection will tell."""

    nothing: bool = False
    ends: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """The command runs in the container with this id; its terminal, where it has one, comes along."""

    container: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """The container (id and name) that the client is connected to.

    With it come the descriptors of `streams`: "terminal", "stdin", as far as there are any.
    """

    container: str
    name: str
    tty: bool
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherResult:
    """The process that watches in the background."""

    pid: int


Result = ChangeResult | DownResult | ExecResult | SessionResult | WatcherResult

# ---------------------------------------------------------------------- to and from a supervisor that starts


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignMessage:
    """The supervisor's project; with `keeper` it starts its keeper before anybody asks for something."""

    project: str
    keeper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyMessage:
    """The project is the supervisor's; the socket goes on as a connection, beginning with HelloMessage."""

    ready: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenMessage:
    """The project has a supervisor already."""

    taken: bool = True


# ---------------------------------------------------------------------- from the supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloMessage:
    """The first message of a connection: protocol number, process id, version of pycompose."""

    hello: int
    pid: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressMessage:
    """A step of the operation under way."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultMessage:
    """The operation is done; the value is what its request says (`SupervisorRequest.result`)."""

    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMessage:
    """The operation has failed (engine.errors.error_from_json)."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitMessage:
    """The process that the client is connected to has ended with this code."""

    exit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedMessage:
    """The container that the client has waited for has started; with it come the descriptors of `joined`.

    They are those of SessionResult.streams.
    """

    joined: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedMessage:
    """Container id → whether it runs or will, at `time_ns` (CLOCK_REALTIME); ContainerMessages follow."""

    subscribed: dict[str, bool]
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMessage:
    """Something has happened to a container."""

    container: ContainerEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedContainer:
    """A container that one has waited for, with its exit code."""

    id: str
    name: str
    service: str
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedMessage:
    """A container that the client waits for has stopped."""

    waited: StoppedContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingMessage:
    """A container (id) is about to start: the watcher brings its files up to date, and says PreparedMessage."""

    starting: str


SupervisorMessage = (
    HelloMessage
    | ProgressMessage
    | ResultMessage
    | ErrorMessage
    | ExitMessage
    | JoinedMessage
    | SubscribedMessage
    | ContainerMessage
    | StoppedMessage
    | StartingMessage
    | ReadyMessage
    | TakenMessage
)
_FROM_SUPERVISOR = (
    ProgressMessage, ResultMessage, ErrorMessage, ExitMessage, JoinedMessage, HelloMessage, SubscribedMessage,
    ContainerMessage, StoppedMessage, StartingMessage, ReadyMessage, TakenMessage,
)  # fmt: skip

# ---------------------------------------------------------------------- from the client


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeMessage:
    """The client's terminal has (rows, columns) now."""

    resize: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalMessage:
    """A signal for the process that the client is connected to, by number."""

    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveMessage:
    """The process goes on without the client, who hands over its terminal."""

    leave: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMessage:
    """The files of a container (id) that is about to start are what they should be, as far as that could be done."""

    prepared: str


SessionMessage = ResizeMessage | SignalMessage | LeaveMessage | PreparedMessage
_FROM_CLIENT = (ResizeMessage, SignalMessage, LeaveMessage, PreparedMessage)

# ---------------------------------------------------------------------- on the wire


def to_message(value: SupervisorMessage | SessionMessage | AssignMessage) -> Message:
    """Return what travels of a message."""
    return {item.name: plain(getattr(value, item.name)) for item in fields(value)}


def supervisor_message(message: Message) -> SupervisorMessage:
    """Return what a supervisor has sent; raises SupervisorError for what isn't a message of it."""
    found: SupervisorMessage = _decode(_FROM_SUPERVISOR, message)
    return found


def assign_message(message: Message) -> AssignMessage:
    """Return what a starting supervisor is told; raises SupervisorError for anything else."""
    found: AssignMessage = _decode((AssignMessage,), message)
    return found


def session_message(message: Message) -> SessionMessage:
    """Return what a client sends while its operation is under way; raises SupervisorError for anything else."""
    found: SessionMessage = _decode(_FROM_CLIENT, message)
    return found


def _decode(kinds: tuple[type, ...], message: Message) -> Any:
    kind = next((kind for kind in kinds if fields(kind)[0].name in message), None)
    if kind is None:
        raise SupervisorError(f"control socket: unknown message {', '.join(message)!r}")
    try:
        return from_json(kind, message)
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise SupervisorError(f"control socket: cannot understand the other side: {exc}") from exc
