"""What may be asked of whatever runs a project's containers, and what it tells.

The keeper is one such engine (client.py). Another one needs the methods of `Engine`, with the errors that they name,
and the three events; supervisor/keepers.py is where a project gets its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from pycompose.engine.config import Process
    from pycompose.engine.errors import PycomposeError
    from pycompose.engine.state import ContainerState

# `list` is a method of Engine, where the name means that.
Fds = list[int]
Entries = list[dict[str, Any]]
Keys = list[str]
Outcomes: TypeAlias = "list[PycomposeError | None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedExec:
    """An executed process; `terminal` is the master of its terminal, ours to close, None without one."""

    id: str
    pid: int
    terminal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedStreams:
    """Copies of a container's ends, ours to close.

    `stdin` is the writing end of its input. `terminal` is for writing and sizes only: what comes out of it is read by
    the engine, which passes it on.
    """

    stdin: int | None = None
    terminal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExited:
    """Process 1 of a container has ended, and its state is written down (state.ContainerState has the meanings)."""

    container: str
    exit_code: int
    exit_code_known: bool = True
    oom_killed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecExited:
    """An executed process has ended."""

    exec: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGone:
    """The connection to the engine is lost; its containers may run all the same."""


EngineEvent = ContainerExited | ExecExited | EngineGone
OnEvent = Callable[[EngineEvent], None]


class Engine(Protocol):
    """Runs the containers of one project. Every method may be called from any thread, and raises EngineError.

    Containers are described by `containers/ID/config.json` (ContainerConfig), processes by config.Process. Descriptors
    that are given stay the caller's; those that come back are the caller's.
    """

    def start_container(
        self, container_id: str, hold: Mapping[str, Sequence[int]] | None = None
    ) -> ContainerState:
        """Start a container and return its state when it has executed; `hold` is as in the method of that name."""
        ...

    def exec(  # noqa: PLR0913 - a stream each
        self,
        container_id: str,
        process: Process,
        *,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        rows: int = 0,
        cols: int = 0,
    ) -> StartedExec:
        """Execute `process` in a running container; None is /dev/null. With `tty` the terminal is all three."""
        ...

    def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to the first process of a container."""
        ...

    def signal_each(self, wanted: Sequence[tuple[str, int]]) -> Outcomes:
        """Send each of several containers a signal; return what went wrong with it, None where nothing did."""
        ...

    def signal_exec(self, exec_id: str, signum: int) -> None:
        """Send a signal to an executed process."""
        ...

    def kill(self, container_id: str) -> None:
        """SIGKILL every process of a container, also a paused one."""
        ...

    def kill_exec(self, exec_id: str) -> None:
        """SIGKILL an executed process and everything it started."""
        ...

    def pause(self, container_id: str) -> None:
        """Freeze a container; raises StateError when it isn't running."""
        ...

    def unpause(self, container_id: str) -> None:
        """Thaw a container."""
        ...

    def resize(self, target: str, rows: int, cols: int) -> None:
        """Set the size of the terminal of a container or an exec, in characters."""
        ...

    def attach(  # noqa: PLR0913 - a stream each, and how
        self,
        container_id: str,
        *,
        stdout: int | None = None,
        stderr: int | None = None,
        patient: bool = False,
        early: bool = False,
        rows: int = 0,
        columns: int = 0,
    ) -> AttachedStreams:
        """Have output written to pipes from now on; return copies of the container's input and terminal.

        With `patient` a slow reader holds the container up, without it misses output. `early` is for a container that
        is started later, with a terminal of this size.
        """
        ...

    def give_terminal(self, container_id: str, terminal: int) -> None:
        """Give a new engine process the terminal of a container that it has adopted."""
        ...

    def close_stdin(self, container_id: str) -> None:
        """Close the engine's end of a container's input, for good."""
        ...

    def hold(self, key: str, fds: Sequence[int]) -> None:
        """Hold copies of `fds` under `key` while the supervisor may be gone, in place of what was held there."""
        ...

    def take(self, key: str) -> Fds:
        """Return copies of what is held under `key`."""
        ...

    def drop(self, *keys: str) -> None:
        """Close what is held under `keys`."""
        ...

    def held(self) -> Keys:
        """Return the keys of what is held."""
        ...

    def list(self) -> Entries:
        """Return id, pid and status (starting, running, paused) of each container."""
        ...

    def discard(self, *container_ids: str) -> None:
        """Kill containers that run, and remove what they have at run time. Can be repeated."""
        ...

    def guard(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `argv` when this connection ends, after a moment; for () nothing."""
        ...

    def shutdown(self, *, force: bool = False) -> None:
        """End the engine; raises StateError while it has containers, unless `force` kills them."""
        ...
