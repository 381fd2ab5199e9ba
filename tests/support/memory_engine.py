"""A second engine behind engine/api.py: its containers are entries of a dict, and end when a test says so.

The state files are those of the keeper, so that whatever reads them sees what it would see. A container that "runs" is
our own process, which /proc knows. Supervisor modules run on it without root: with `network_mode: host`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from pycompose.engine.api import (
    AttachedStreams,
    ContainerExited,
    EngineEvent,
    EngineGone,
    ExecExited,
    StartedExec,
)
from pycompose.engine.config import plain
from pycompose.engine.errors import EngineError, NoSuchContainer, PycomposeError, StateError
from pycompose.engine.state import ContainerState, Status, boot_id, read_state, start_ticks
from pycompose.engine.statefiles import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycompose.engine.config import Process
    from pycompose.engine.paths import StatePaths

KILLED = 128 + signal.SIGKILL


class MemoryEngine:
    """An Engine. Signals that end a container are in `deadly`, SIGKILL always does.

    `failures` maps container id → the error of its next start, `codes` the arguments of an exec → its exit code.
    `calls` has what was asked, in order: ("signal", ID, 15).
    """

    def __init__(self, paths: StatePaths, on_event: Callable[[EngineEvent], None]) -> None:
        self._paths = paths
        self.on_event = on_event
        self._lock = threading.Lock()
        self.running: dict[str, ContainerState] = {}
        self.failures: dict[str, EngineError] = {}
        self.codes: dict[tuple[str, ...], int] = {}
        self.deadly: set[int] = {signal.SIGTERM}
        self.calls: list[tuple[Any, ...]] = []
        self.descriptors: dict[str, int] = {}

    # ------------------------------------------------------------------ for tests

    def end(self, container_id: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """Let process 1 of a container end."""
        with self._lock:
            state = self.running.pop(container_id)
        ended = {**plain(state), "status": Status.EXITED.value, "pid": 0, "exit_code": exit_code}
        self._write(container_id, ended)
        self.on_event(ContainerExited(container=container_id, exit_code=exit_code, oom_killed=oom_killed))

    def die(self) -> None:
        """Let the connection end."""
        self.on_event(EngineGone())

    def starts(self, container_id: str) -> int:
        """Return how often a container has been started."""
        return sum(call[:2] == ("start", container_id) for call in self.calls)

    # ------------------------------------------------------------------ Engine

    def start_container(
        self, container_id: str, hold: Mapping[str, Sequence[int]] | None = None
    ) -> ContainerState:
        """Let it run, or fail as told."""
        self.calls.append(("start", container_id))
        for key, fds in (hold or {}).items():
            self.hold(key, fds)
        with self._lock:
            if container_id in self.running:
                raise StateError(f"container {container_id[:12]}: cannot start: it is running already")
            if container_id in self.failures:
                raise self.failures.pop(container_id)
            state = ContainerState(
                id=container_id,
                status=Status.RUNNING,
                pid=os.getpid(),
                start_ticks=start_ticks(os.getpid()),
                boot_id=boot_id(),
                started_ns=time.time_ns(),
            )
            self.running[container_id] = state
        self._write(container_id, plain(state))
        return read_state(self._paths, container_id)

    def exec(
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
        """Say what was executed on its output, and end with the code of its arguments, else 0."""
        self._check(container_id)
        self.calls.append(("exec", container_id, process.args))
        if stdout is not None:
            os.write(stdout, f"ran {' '.join(process.args)}\n".encode())
        exec_id = f"exec-{len(self.calls)}"
        self.on_event(ExecExited(exec=exec_id, exit_code=self.codes.get(process.args, 0)))
        return StartedExec(id=exec_id, pid=os.getpid())

    def signal(self, container_id: str, signum: int) -> None:
        """End a container by a deadly signal."""
        self._check(container_id)
        self.calls.append(("signal", container_id, signum))
        if signum in self.deadly:
            self.end(container_id, 128 + signum)

    def signal_each(self, wanted: Sequence[tuple[str, int]]) -> list[PycomposeError | None]:
        """Do so for several."""
        found: list[PycomposeError | None] = []
        for container_id, signum in wanted:
            try:
                self.signal(container_id, signum)
            except PycomposeError as exc:
                found.append(exc)
            else:
                found.append(None)
        return found

    def signal_exec(self, exec_id: str, signum: int) -> None:
        """Nobody is left to take it."""
        self.calls.append(("signal_exec", exec_id, signum))

    def kill(self, container_id: str) -> None:
        """End a container."""
        self._check(container_id)
        self.calls.append(("kill", container_id))
        self.end(container_id, KILLED)

    def kill_exec(self, exec_id: str) -> None:
        """Nobody is left to kill."""
        self.calls.append(("kill_exec", exec_id))

    def pause(self, container_id: str) -> None:
        """Call it paused."""
        self._rewrite(container_id, Status.PAUSED)

    def unpause(self, container_id: str) -> None:
        """Call it running."""
        self._rewrite(container_id, Status.RUNNING)

    def resize(self, target: str, rows: int, cols: int) -> None:
        """Remember the size."""
        self.calls.append(("resize", target, rows, cols))

    def attach(
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
        """Hand out nothing: there is neither input nor terminal."""
        if not early:
            self._check(container_id)
        self.calls.append(("attach", container_id))
        return AttachedStreams()

    def give_terminal(self, container_id: str, terminal: int) -> None:
        """Remember who has one."""
        self.calls.append(("terminal", container_id))

    def close_stdin(self, container_id: str) -> None:
        """There is no input."""
        self.calls.append(("close_stdin", container_id))

    def hold(self, key: str, fds: Sequence[int]) -> None:
        """Count the descriptors."""
        self.descriptors[key] = len(fds)

    def take(self, key: str) -> list[int]:
        """Nothing is kept but the count."""
        raise EngineError(f"cannot take {key}: nothing held under this key")

    def drop(self, *keys: str) -> None:
        """Forget the counts."""
        for key in keys:
            self.descriptors.pop(key, None)

    def held(self) -> list[str]:
        """Return the keys."""
        return list(self.descriptors)

    def list(self) -> list[dict[str, Any]]:
        """Return what runs."""
        with self._lock:
            return [
                {"id": key, "pid": one.pid, "status": one.status.value} for key, one in self.running.items()
            ]

    def discard(self, *container_ids: str) -> None:
        """End the containers that run."""
        for container_id in container_ids:
            self.calls.append(("discard", container_id))
            if container_id in self.running:
                self.end(container_id, KILLED)

    def guard(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Remember whom to start."""
        self.calls.append(("guard", *argv))

    def shutdown(self, *, force: bool = False) -> None:
        """End, if nothing runs."""
        if self.running and not force:
            raise StateError("keeper: has containers")

    def _check(self, container_id: str) -> None:
        if container_id not in self.running:
            raise NoSuchContainer(f"container {container_id[:12]}: not running here")

    def _rewrite(self, container_id: str, status: Status) -> None:
        self._check(container_id)
        value = {**plain(self.running[container_id]), "status": status.value}
        self._write(container_id, value)

    def _write(self, container_id: str, value: dict[str, Any]) -> None:
        directory = self._paths.container_run(container_id)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / "state.json", value, durable=False)
