"""The processes that a keeper looks after: containers and what is executed in them.

Each is a small machine driven by two descriptors: the sync socket (what the child says until it executes) and
the pidfd (its end). The keeper's loop calls in; nothing here waits.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycompose.engine.cgroups.base import Cgroup
from pycompose.engine.config import ContainerConfig, plain
from pycompose.engine.container import terminal
from pycompose.engine.container.child import GO
from pycompose.engine.container.child_error import to_error
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import CgroupError, ChildError, EngineError, ExecError
from pycompose.engine.keeper import stopping
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.keeper.spawn import Child
from pycompose.engine.keeper.stdio import Output
from pycompose.engine.linux import members, process
from pycompose.engine.linux.sockets import receive_fds
from pycompose.engine.state import ContainerState, Status, boot_id, exiting, start_ticks
from pycompose.engine.statefiles import write_json

# How long the new parent of an orphan gets to reap it before its exit code counts as unknown.
ORPHAN_S = 2.0

Done = Callable[["EngineError | None"], None]


class WatchedProcess(abc.ABC):
    """One process that the keeper waits for. The sync socket, if any, is its only word until it executes."""

    def __init__(self, loop: Loop, pid: int, pidfd: int, sync: socket.socket | None) -> None:
        self.loop = loop
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = -1
        self.error: EngineError | None = None
        self._sync = sync
        self._is_child = sync is not None
        self._patient = False
        if sync is not None:
            loop.watch(sync.fileno(), self._on_sync)
        if pidfd >= 0:
            loop.watch(pidfd, self._on_pidfd)

    def signal(self, signum: int) -> None:
        """Send a signal; one to a process that has just ended is lost, as by kill(2). Raises EngineError."""
        if self.pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self.pidfd, signum)
        except ProcessLookupError:
            return
        except (OSError, ValueError) as exc:
            raise EngineError(f"process {self.pid}: cannot send signal {signum}: {exc}") from exc
        if signum == signal.SIGKILL:
            self.expect_end()

    def expect_end(self) -> None:
        """Take it for ended when it is still about to end in a while, if somebody else is to reap what holds it."""
        if not self._is_child:
            self.loop.after(ORPHAN_S, self._give_up_exiting)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal; raises EngineError when it has none."""
        if self.terminal < 0:
            raise EngineError(f"process {self.pid}: cannot resize: it has no terminal")
        try:
            terminal.resize(self.terminal, rows, columns)
        except OSError as exc:
            raise EngineError(f"process {self.pid}: cannot resize: {exc.strerror}") from exc

    def say(self, word: bytes) -> None:
        """Send to the child; if it has just died, its end is about to be told."""
        if self._sync is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._sync.send(word)

    @abc.abstractmethod
    def on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        """Handle what the child says."""

    @abc.abstractmethod
    def on_silence(self) -> None:
        """Handle the end of the sync socket: the child has executed, or it is dead."""

    def write_end(self, code: int, *, known: bool) -> None:  # noqa: B027 - not every kind is written down
        """Write down the end of the process, which is a zombie still."""

    @abc.abstractmethod
    def on_end(self, code: int) -> None:
        """Let go of the process, which is no more."""

    def _on_sync(self, _events: int = 0) -> None:
        while self._sync is not None:
            try:
                data, fds, _flags = receive_fds(self._sync, 8192, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                # It ended without having read all that we sent; what it said itself comes after this error.
                continue
            if data:
                self.on_message(json.loads(data), fds)
            else:
                self.loop.forget(self._sync.fileno())
                self._sync.close()
                self._sync = None
                self.on_silence()

    def _on_pidfd(self, events: int) -> None:
        self._on_sync()  # what it said before it ended comes first
        if self._is_child:
            # Not reaped yet: while it is a zombie nobody takes the missing exit.json for an unknown end.
            result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if result is not None:
                self._ended(process.exit_code(result), known=True)
            return
        # Somebody else's child: the kernel tells the code once its parent has reaped it, which is EPOLLHUP.
        code = process.exit_code_of_other(self.pidfd)
        if code is not None or events & select.EPOLLHUP:
            self._ended(255 if code is None else code, known=code is not None)
        elif not self._patient:
            self._patient = True
            self.loop.watch(self.pidfd, self._on_pidfd, 0)
            self.loop.after(ORPHAN_S, self._give_up)

    def _give_up(self) -> None:
        if self.pidfd >= 0:
            self._ended(255, known=False)

    def _give_up_exiting(self) -> None:
        if self.pidfd >= 0 and exiting(self.pid):
            self._ended(128 + signal.SIGKILL, known=False)

    def _ended(self, code: int, *, known: bool) -> None:
        self.loop.forget(self.pidfd)
        try:
            self.write_end(code, known=known)
        finally:
            if self._is_child:
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            os.close(self.pidfd)
            self.pidfd = -1
            self.on_end(code)


class Container(WatchedProcess):
    """A container from its clone, or its adoption, to its end.

    `done` belongs to the request that waits for it to execute and is called once. `on_exit` is called when all
    is over and written down; `self.executed` tells whether it ever ran.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        loop: Loop,
        config: ContainerConfig,
        group: Cgroup,
        output: Output,
        directory: Path,
        *,
        child: Child,
        on_exit: Callable[[Container], None],
        done: Done | None = None,
    ) -> None:
        super().__init__(loop, child.pid, child.pidfd, child.sync)
        self.config = config
        self.group = group
        self.output = output
        self.directory = directory
        self.stdin = -1
        self.executed = False
        self._done = done
        self._released = False
        self.state = ContainerState(
            id=config.id,
            status=Status.CREATED,
            pid=child.pid,
            start_ticks=start_ticks(child.pid),
            boot_id=boot_id(),
            warnings=group.warnings,
        )
        self._on_exit = on_exit
        self._oom_kills = group.oom_kills()
        self._group_abandoned = False
        self._mounts = 0  # its mount namespace, once only that tells whose the processes are

    def adopt(self, state: ContainerState) -> None:
        """Go on with a container that another keeper started."""
        status = Status.PAUSED if state.status is Status.PAUSED else Status.RUNNING
        self._released = self.executed = True
        self._tell_members()
        self.write(replace(state, status=status))
        self.expect_end()

    @property
    def status(self) -> str:
        """What `list` says: starting, running, paused or exited."""
        return "starting" if self.state.status is Status.CREATED else str(self.state.status.value)

    def kill(self) -> None:
        """SIGKILL everything in the container: its first process too, which may not have entered the group yet."""
        self.signal(signal.SIGKILL)
        with contextlib.suppress(CgroupError):
            self.group.kill()
        if not self.group.own:
            stopping.kill(self._mounts)

    def _tell_members(self) -> None:
        """Remember what tells our processes from others when the first has ended, where nothing else does."""
        if not self.group.own and self.config.namespaces.pid != "private":
            self._mounts = members.namespace(self.pid, "mnt")

    def pause(self, *, paused: bool) -> None:
        """Freeze or thaw the container; raises EngineError."""
        wanted, other = (Status.PAUSED, Status.RUNNING) if paused else (Status.RUNNING, Status.PAUSED)
        verb = "pause" if paused else "unpause"
        if self.state.status is not other:
            raise EngineError(f"container {self.config.name}: cannot {verb}: it is {self.status}")
        if not (self._stop() if paused else self._go_on()):
            raise EngineError(f"container {self.config.name}: cannot {verb}: no freezer on this machine")
        try:
            self.write(replace(self.state, status=wanted))
        except OSError:
            if paused:  # what nobody could know about must not be
                self._go_on()
                self.state = replace(self.state, status=other)
                raise

    def _stop(self) -> bool:
        return self.group.freeze() or stopping.stop(self.pid)

    def _go_on(self) -> bool:
        return self.group.thaw() or stopping.go_on(self.pid)

    def close_stdin(self) -> None:
        """Give the container the end of its input, unless somebody else has a copy of ours."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
            with contextlib.suppress(FileNotFoundError):
                (self.directory / "stdin").unlink()  # or another keeper would open it again

    def take_terminal(self, master: int) -> None:
        """Use `master`, ours from now on, as its terminal, and copy what comes out of it."""
        self.terminal = master
        self.output.add(os.dup(master), "stdout")

    def write(self, state: ContainerState) -> None:
        """Remember `state` and write it down."""
        self.state = state
        write_json(self.directory / "state.json", plain(state), durable=False)

    def on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take READY, the terminal, or a failure."""
        if "errno" in message:
            self.error = to_error(f"container {self.config.name}", message)
        elif fds:
            self.take_terminal(fds[0])
        elif self._write_or_end(self.state):
            # From here on it will run, so from here on it is known whose process that is.
            self._released = True
            self.say(GO)

    def on_silence(self) -> None:
        """Conclude that it has executed, if it was released and didn't complain; or else it is dying."""
        if self._released and self.error is None:
            running = replace(self.state, status=Status.RUNNING, started_ns=time.time_ns())
            if self._write_or_end(running):
                self.executed = True
                self._tell_members()
                self._answer(None)

    def _write_or_end(self, state: ContainerState) -> bool:
        """Write down how far it has come; a container that nobody could find again is ended instead."""
        earlier = self.state
        try:
            self.write(state)
        except OSError as exc:
            self.state = earlier
            message = f"container {self.config.name}: cannot start: {exc.filename}: {exc.strerror}"
            self.error = ChildError(message, step="start", errno=exc.errno or 0)
            self.kill()
        return self.error is None

    def write_end(self, code: int, *, known: bool) -> None:
        """Save the last output, then the exit code."""
        if self.config.namespaces.pid != "private":
            self.kill()
        oom_killed = code == 128 + signal.SIGKILL and self.group.oom_kills() > self._oom_kills
        self.output.finish()
        ended = replace(
            self.state,
            status=Status.EXITED,
            finished_ns=time.time_ns(),
            exit_code=code,
            exit_code_known=known,
            oom_killed=oom_killed,
        )
        if self.executed:
            self.state = ended
            try:
                write_json(self.directory / "exit.json", plain(ended), durable=False)
            except OSError as exc:  # whoever is connected is told all the same
                print(f"{exc.filename}: {exc.strerror}", file=sys.stderr, flush=True)
        else:
            self._never_ran(code, oom_killed=oom_killed)

    def on_end(self, code: int) -> None:  # noqa: ARG002 - written down already
        """Let go of everything and tell."""
        self.close()
        self._on_exit(self)
        self._answer(self.error)

    def _never_ran(self, code: int, *, oom_killed: bool) -> None:
        name = f"container {self.config.name}"
        if self.error is None and oom_killed:
            self.error = ChildError(
                f"{name}: cannot start: out of memory while starting",
                step="start",
                errno=errno.ENOMEM,
                hint="raise mem_limit",
            )
        elif self.error is None:
            self.error = ChildError(f"{name}: cannot start: ended with {code} before it ran", step="start")
        ended = ContainerState(
            id=self.config.id,
            status=Status.CREATED,
            exit_code=self.error.exit_code if isinstance(self.error, ExecError) else 128,
            restart_count=self.state.restart_count,
            error=self.error.message,
        )
        with contextlib.suppress(OSError):  # nobody takes a dead one for running
            self.write(ended)

    def close(self) -> None:
        """Close the descriptors and remove the control group, as far as its processes are gone."""
        self.close_stdin()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        self.remove_group()

    def remove_group(self) -> None:
        """Remove the control group; what is still dying is tried again by the loop."""
        if self._group_abandoned:
            return
        try:
            self.group.remove(timeout_s=0)
        except CgroupError:
            self.loop.after(0.02, self.remove_group)

    def abandon_group(self) -> None:
        """Leave the control group to the next run of the same container."""
        self._group_abandoned = True

    def _answer(self, error: EngineError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(error)


class Execution(WatchedProcess):
    """One process executed in a container. First its helper runs, then the process, whose pidfd we are sent.

    The helper ends when the process executes, at the latest, and is waited for first: until then it holds the control
    group and the other end of the sync socket.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        loop: Loop,
        exec_id: str,
        container: Container,
        group: Cgroup,
        child: Child,
        *,
        done: Done,
        on_exit: Callable[[Execution, int], None],
    ) -> None:
        super().__init__(loop, child.pid, child.pidfd, child.sync)
        self.exec_id = exec_id
        self.container = container
        self.group = group
        self.executed = False
        self.helper = child.pid
        self._helper_pidfd = -1
        self._done: Done | None = done
        self._on_exit = on_exit

    @property
    def told(self) -> bool:
        """Whether the helper has said which process is the real one."""
        return self.pid != self.helper

    def kill(self) -> None:
        """SIGKILL the process and all that it started, wherever it is on its way there; raises CgroupError."""
        self.signal(signal.SIGKILL)
        if self.group.own:
            self.group.kill()

    def on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take the pid, the terminal, or a failure."""
        if "errno" in message:
            self.error = to_error(f"container {self.container.config.name}", message)
        elif "pid" in message:
            self._switch(message["pid"], fds[0])
        else:
            self.terminal = fds[0]

    def _switch(self, pid: int, pidfd: int) -> None:
        """Watch the real process, and its helper until that has ended."""
        self._helper_pidfd = self.pidfd
        self.loop.watch(self._helper_pidfd, lambda _events: self._reap_helper())
        self.pid, self.pidfd = pid, pidfd
        self.loop.watch(pidfd, self._on_pidfd)

    def _reap_helper(self) -> None:
        """Wait for the helper if it has ended, and hear of the end of the real process from then on."""
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PIDFD, self._helper_pidfd, os.WEXITED | os.WNOHANG) is None:
                return
        self.loop.forget(self._helper_pidfd)
        os.close(self._helper_pidfd)
        self._helper_pidfd = -1
        if self.pidfd >= 0:
            self.loop.watch(self.pidfd, self._on_pidfd)

    def _on_pidfd(self, events: int) -> None:
        if self._helper_pidfd >= 0:
            self._reap_helper()
        if self._helper_pidfd >= 0:
            self.loop.forget(self.pidfd)  # it has ended: there is nothing else to hear of it, so not yet
        else:
            super()._on_pidfd(events)

    def on_silence(self) -> None:
        """Conclude that it has executed, if it is the real process and didn't complain."""
        if self.told and self.error is None:
            self.executed = True
            self._answer(None)

    def on_end(self, code: int) -> None:
        """Let go of everything; the group stays while what the process left behind still runs in it."""
        if not self.executed and self.error is None:
            name = self.container.config.name
            self.error = ChildError(
                f"container {name}: cannot execute: ended with {code} before it ran", step="exec"
            )
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        with contextlib.suppress(CgroupError):
            if not self.told:
                self.kill()  # also what the helper cloned, if it came that far
            self.group.remove(timeout_s=0)
        self._answer(self.error)
        self._on_exit(self, code)

    def _answer(self, error: EngineError | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(error)
