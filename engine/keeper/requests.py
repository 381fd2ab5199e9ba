"""What a keeper can be asked for: a dataclass per request, whose fields are the keys of its message.

Descriptors travel beside a message, in the order that each request says. `op` names the method `op_NAME` of the keeper.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pycompose.engine.config import Process, from_json, plain
from pycompose.engine.dataclass import dataclass, field


class KeeperRequest:
    """Base of all; `message` and `request_of` are inverse to each other."""

    op: ClassVar[str]
    __slots__ = ()

    def message(self, number: int) -> dict[str, Any]:
        """Return the message with the number of its answer."""
        return {"id": number, "op": self.op, **plain(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(KeeperRequest):
    """The first of a connection: `protocol` is wire.PROTOCOL. Never changes, so that any two versions understand it."""

    op: ClassVar[str] = "hello"
    protocol: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(KeeperRequest):
    """Keep a filter of system calls, what is in the one descriptor, for starts and execs that call it `name`."""

    op: ClassVar[str] = "filter"
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(KeeperRequest):
    """Clone a container. `filter` names its filter of system calls, `hold` maps keys → how many of the descriptors."""

    op: ClassVar[str] = "start"
    container: str
    filter: str
    hold: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec(KeeperRequest):
    """Execute a process in a container, `filter` as for Start; `streams` tells which of three come as descriptors."""

    op: ClassVar[str] = "exec"
    container: str
    process: Process
    filter: str
    streams: tuple[bool, ...] = (False, False, False)
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalContainer(KeeperRequest):
    """Signal the first process of a container."""

    op: ClassVar[str] = "signal"
    container: str
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalExec(KeeperRequest):
    """Signal an executed process."""

    op: ClassVar[str] = "signal_exec"
    exec: str
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(KeeperRequest):
    """SIGKILL a whole container."""

    op: ClassVar[str] = "kill"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KillExec(KeeperRequest):
    """SIGKILL an executed process and what it started."""

    op: ClassVar[str] = "kill_exec"
    exec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(KeeperRequest):
    """Freeze a container."""

    op: ClassVar[str] = "pause"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpause(KeeperRequest):
    """Thaw a container."""

    op: ClassVar[str] = "unpause"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(KeeperRequest):
    """Set the size of the terminal of a container or an exec."""

    op: ClassVar[str] = "resize"
    target: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach(KeeperRequest):
    """Pass output on: `streams` names what each descriptor is for."""

    op: ClassVar[str] = "attach"
    container: str
    streams: tuple[str, ...] = ()
    patient: bool = False
    early: bool = False
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeTerminal(KeeperRequest):
    """Take the terminal of an adopted container, the one descriptor."""

    op: ClassVar[str] = "terminal"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseStdin(KeeperRequest):
    """Close the keeper's end of a container's input."""

    op: ClassVar[str] = "close_stdin"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListContainers(KeeperRequest):
    """Tell which containers there are."""

    op: ClassVar[str] = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard(KeeperRequest):
    """Kill a container if it runs, and remove all it has at run time."""

    op: ClassVar[str] = "discard"
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(KeeperRequest):
    """Keep the descriptors under a key, in place of those it had."""

    op: ClassVar[str] = "hold"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(KeeperRequest):
    """Hand out copies of what is held."""

    op: ClassVar[str] = "take"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(KeeperRequest):
    """Close what is held."""

    op: ClassVar[str] = "drop"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHeld(KeeperRequest):
    """Tell the keys of what is held."""

    op: ClassVar[str] = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(KeeperRequest):
    """Start `argv` when this connection ends; () takes that back."""

    op: ClassVar[str] = "guard"
    argv: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown(KeeperRequest):
    """End the keeper; with `force` its containers, too."""

    op: ClassVar[str] = "shutdown"
    force: bool = False


REQUESTS: dict[str, type[Any]] = {
    kind.op: kind
    for kind in (
        Hello, Filter, Start, Exec, SignalContainer, SignalExec, Kill, KillExec, Pause, Unpause, Resize, Attach,
        TakeTerminal, CloseStdin, ListContainers, Discard, Hold, Take, Drop, ListHeld, Guard, Shutdown,
    )
}  # fmt: skip


def request_of(message: dict[str, Any]) -> Any:
    """Return the request that a message is, None for an unknown one. Raises TypeError where a key is missing."""
    kind = REQUESTS.get(str(message.get("op")))
    return None if kind is None else from_json(kind, message)
