"""The supervisor's end of the keeper: one method per request, for many threads at once."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import queue
import select
import socket
import sys
import threading
import time
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pycompose
from pycompose import engine
from pycompose.engine.api import (
    AttachedStreams,
    ContainerExited,
    EngineEvent,
    EngineGone,
    Entries,
    ExecExited,
    Fds,
    Keys,
    OnEvent,
    StartedExec,
)
from pycompose.engine.config import Process, from_json
from pycompose.engine.errors import EngineError, KeeperLost, NoSuchContainer
from pycompose.engine.keeper import requests, wire
from pycompose.engine.paths import StatePaths
from pycompose.engine.seccomp.filters import Filters
from pycompose.engine.state import ContainerState, read_state
from pycompose.engine.statedirs import make_directory

# The keeper runs without `site`: no start-up hook of anybody runs in it, and it saves 15 ms. It is told
# where the two packages are instead, which holds for wheels and for both kinds of editable installs.
_BOOT = """\
import sys, types
for name, path in (("pycompose", sys.argv[1]), ("pycompose.engine", sys.argv[2])):
    module = types.ModuleType(name)
    module.__path__ = [path]
    sys.modules[name] = module
from pycompose.engine.keeper.main import main
from pycompose.engine.statedirs import make_directory
main(sys.argv[3])
"""
_LISTENER_FD = 3
_BACKLOG = 16
_REAP_S = 0.5
_ANSWER_S = 5.0


class KeeperClient:
    """A connection to the keeper of a project: an `Engine` (api.py).

    `on_event` is called by the reader thread; it must not call the keeper itself. After EngineGone every method raises
    EngineError. All methods raise EngineError.
    """

    def __init__(
        self, paths: StatePaths, project: str, sock: socket.socket, on_event: OnEvent, child: int | None
    ) -> None:
        self._sock = sock
        self._project = project
        self._on_event = on_event
        self._child = child
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._pending: dict[int, queue.SimpleQueue[tuple[dict[str, Any], Fds]]] = {}
        self._gone = False
        self._ending = False
        self._paths = paths
        self._filters = Filters(paths)
        self._thread = threading.Thread(target=self._read, name=f"keeper-{project}", daemon=True)
        self.pid = 0

    @classmethod
    def start(cls, paths: StatePaths, project: str, *, on_event: OnEvent, log: Path) -> KeeperClient:
        """Start the keeper of `project` and connect to it; its error output is appended to `log`.

        Raises EngineError when one runs already, and when it cannot be started.
        """
        child = cls.launch(paths, project, log)
        try:
            return cls._greet(paths, project, on_event, child)
        except EngineError as exc:
            raise type(exc)(f"{exc.message} (see {log})", hint=exc.hint) from exc

    @staticmethod
    def launch(paths: StatePaths, project: str, log: Path) -> int:
        """Start the keeper's process and return its pid: `connect` may be called at once, and waits until it is ready.

        Raises EngineError as `start` does.
        """
        path = paths.keeper_socket(project)
        make_directory(path.parent)
        if _answers(path):
            raise EngineError(f"keeper of {project}: cannot start: one is running already")
        path.unlink(missing_ok=True)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                with wire.address(path) as name:
                    listener.bind(name)
                listener.listen(_BACKLOG)
                return _spawn(paths, project, listener.fileno(), log)
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise EngineError(f"keeper of {project}: cannot start: {exc.strerror}") from exc

    @classmethod
    def connect(
        cls, paths: StatePaths, project: str, *, on_event: OnEvent, child: int | None = None
    ) -> KeeperClient:
        """Connect to the keeper of `project`, which is our `child` if we have launched it.

        Raises EngineError when none listens, KeeperMismatch when it speaks another protocol.
        """
        return cls._greet(paths, project, on_event, child)

    @classmethod
    def _greet(cls, paths: StatePaths, project: str, on_event: OnEvent, child: int | None) -> KeeperClient:
        try:
            sock = _connect(paths.keeper_socket(project))
        except OSError as exc:
            raise EngineError(f"keeper of {project}: cannot connect: {exc.strerror}") from exc
        keeper = cls(paths, project, sock, on_event, child)
        keeper._thread.start()
        try:
            result, _fds = keeper._call(requests.Hello(protocol=wire.PROTOCOL))
        except EngineError:
            keeper.close()
            raise
        keeper.pid = int(result["pid"])
        return keeper

    def start_container(
        self, container_id: str, hold: Mapping[str, Sequence[int]] | None = None
    ) -> ContainerState:
        """Make the container of `containers/ID/config.json`; returns its state when it has executed.

        The keeper holds the descriptors of `hold` from then on, as by `hold`. Raises ExecError (126, 127), MountError,
        NamespaceError, CgroupError, ChildError, StateError when it runs already; then nothing is left of it at run
        time but what is held.
        """
        held = hold or {}
        counts = {key: len(fds) for key, fds in held.items()}
        request = requests.Start(container=container_id, filter=self._filter(container_id), hold=counts)
        self._call(request, [fd for fds in held.values() for fd in fds])
        return read_state(self._paths, container_id)

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
        """Execute `process` in a running container; None is /dev/null. With `tty` the terminal is all three.

        Returns when it has executed. Raises ExecError (126, 127), ChildError, StateError.
        """
        given = [] if process.tty else [stdin, stdout, stderr]
        request = requests.Exec(
            container=container_id,
            process=process,
            filter=self._filter(container_id),
            streams=tuple(fd is not None for fd in given) or (False, False, False),
            rows=rows,
            columns=cols,
        )
        result, fds = self._call(request, [fd for fd in given if fd is not None])
        return StartedExec(id=result["exec"], pid=result["pid"], terminal=fds[0] if fds else None)

    def _filter(self, container_id: str) -> str:
        try:
            packed = self._filters.of_container(container_id)
        except FileNotFoundError:
            raise NoSuchContainer(f"container {container_id[:12]}: there is none") from None
        return b2a_base64(packed, newline=False).decode("ascii")

    def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to the first process of a container."""
        self._call(requests.SignalContainer(container=container_id, signal=signum))

    def signal_exec(self, exec_id: str, signum: int) -> None:
        """Send a signal to an executed process."""
        self._call(requests.SignalExec(exec=exec_id, signal=signum))

    def kill(self, container_id: str) -> None:
        """SIGKILL every process of a container, also a paused one."""
        self._call(requests.Kill(container=container_id))

    def kill_exec(self, exec_id: str) -> None:
        """SIGKILL an executed process and everything it started."""
        self._call(requests.KillExec(exec=exec_id))

    def pause(self, container_id: str) -> None:
        """Freeze a container; raises StateError when it isn't running."""
        self._call(requests.Pause(container=container_id))

    def unpause(self, container_id: str) -> None:
        """Thaw a container."""
        self._call(requests.Unpause(container=container_id))

    def resize(self, target: str, rows: int, cols: int) -> None:
        """Set the size of the terminal of a container or an exec, in characters."""
        self._call(requests.Resize(target=target, rows=rows, columns=cols))

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

        `stdout` and `stderr` are writing ends (a terminal's output is all stdout), and are made non-blocking.
        They close when the container has ended and everything is written. A reader that is slow misses
        output, or with `patient` holds the container up. `early` is for a container that is started
        later, with a terminal of this size, and returns neither input nor terminal.
        """
        given = {"stdout": stdout, "stderr": stderr}
        names = [name for name, fd in given.items() if fd is not None]
        fds = [fd for fd in given.values() if fd is not None]
        request = requests.Attach(
            container=container_id,
            streams=tuple(names),
            patient=patient,
            early=early,
            rows=rows,
            columns=columns,
        )
        result, received = self._call(request, fds)
        return AttachedStreams(**dict(zip(result["streams"], received, strict=True)))

    def give_terminal(self, container_id: str, terminal: int) -> None:
        """Give a new keeper the terminal of a container that it has adopted; nothing where it has it already."""
        self._call(requests.TakeTerminal(container=container_id), [terminal])

    def guard(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Have the keeper start `argv` when this connection ends, after a moment; for () nothing."""
        self._call(requests.Guard(argv=tuple(argv), environment=dict(environment)))

    def close_stdin(self, container_id: str) -> None:
        """Close the keeper's end of a container's input, for good: when every copy is closed, it reads the end."""
        self._call(requests.CloseStdin(container=container_id))

    def hold(self, key: str, fds: Sequence[int]) -> None:
        """Have the keeper hold copies of `fds` under `key`, at most 64, in place of what it held there."""
        self._call(requests.Hold(key=key), fds)

    def take(self, key: str) -> Fds:
        """Return copies of what is held under `key`; the keeper goes on holding them."""
        return self._call(requests.Take(key=key))[1]

    def drop(self, key: str) -> None:
        """Have the keeper close what it holds under `key`."""
        self._call(requests.Drop(key=key))

    def held(self) -> Keys:
        """Return the keys of what is held."""
        return list(self._call(requests.ListHeld())[0]["keys"])

    def list(self) -> Entries:
        """Return id, pid and status (starting, running, paused) of each container."""
        return list(self._call(requests.ListContainers())[0]["containers"])

    def discard(self, container_id: str) -> None:
        """Kill a container if it runs; remove its control group, FIFOs and run directory. Can be repeated."""
        self._call(requests.Discard(container=container_id))

    def shutdown(self, *, force: bool = False) -> None:
        """End the keeper; raises StateError while it has containers, unless `force` kills them."""
        self._ending = True
        try:
            self._call(requests.Shutdown(force=force))
        except EngineError:
            self._ending = False
            raise

    def close(self) -> None:
        """Close the connection; the keeper goes on."""
        self._gone = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._sock.close()

    def _call(self, request: requests.KeeperRequest, fds: Sequence[int] = ()) -> tuple[dict[str, Any], Fds]:
        """Send one request and wait for its answer."""
        number = next(self._numbers)
        answer: queue.SimpleQueue[tuple[dict[str, Any], Fds]] = queue.SimpleQueue()
        data = wire.encode(request.message(number))
        with self._lock:
            if self._gone:
                raise self._lost()
            self._pending[number] = answer
            try:
                wire.send(self._sock, data, fds)
            except OSError as exc:
                del self._pending[number]
                raise self._lost() from exc
        message, received = answer.get()
        if "error" in message:
            raise wire.error_from_json(message["error"])
        return message["result"], received

    def _lost(self) -> KeeperLost:
        return KeeperLost(
            f"keeper of {self._project}: connection lost",
            hint="its containers go on; the next command starts a keeper that adopts them",
        )

    def _read(self) -> None:
        """Hand out answers and events until the connection ends."""
        try:
            self._receive_all()
        finally:
            self._end()

    def _receive_all(self) -> None:
        while True:
            try:
                received = wire.receive(self._sock)
            except (OSError, EngineError):
                received = None
            if received is None:
                return
            message, fds = received
            if "event" in message:
                self._on_event(_event(message))
                continue
            with self._lock:
                answer = self._pending.pop(message["id"], None)
            if answer is not None:
                answer.put((message, fds))

    def _end(self) -> None:
        with self._lock:
            closed, self._gone = self._gone, True
            pending, self._pending = self._pending, {}
        if self._child is not None:
            _reap(self._child, 0 if closed and not self._ending else _REAP_S)
        # First, so that who is told of the loss finds that the keeper is being replaced.
        if not closed and not self._ending:
            self._on_event(EngineGone())
        for answer in pending.values():
            answer.put(({"error": wire.error_to_json(self._lost())}, []))


def _event(message: wire.Message) -> EngineEvent:
    if message["event"] == "exit":
        return from_json(ContainerExited, message)
    return from_json(ExecExited, message)


def _reap(pid: int, timeout_s: float) -> None:
    """Collect our child, the keeper, if it is ending: its sockets close a moment before it is dead."""
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            select.select([pidfd], [], [], timeout_s)
        finally:
            os.close(pidfd)
        os.waitpid(pid, os.WNOHANG)


def _answers(path: Path) -> bool:
    """Tell whether a keeper listens at `path`, and not just a child of a dead one that is on its way out."""
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        try:
            sock = _connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        with sock, contextlib.suppress(ConnectionError, TimeoutError):
            sock.settimeout(_ANSWER_S)
            wire.send(sock, wire.encode(requests.Hello(protocol=wire.PROTOCOL).message(0)))
            if sock.recv(1):
                return True
    return True


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with wire.address(path) as name:
            sock.connect(name)
    except OSError:
        sock.close()
        raise
    return sock


def _spawn(paths: StatePaths, project: str, listener: int, log: Path) -> int:
    """Start the keeper's process with `listener` as descriptor 3, return its pid; raises OSError."""
    packages = [next(iter(package.__path__)) for package in (pycompose, engine)]
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, *packages, project]
    environment = {**paths.to_environment(), "PATH": os.defpath}
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    binary = sealed_copy(sys.executable)
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{binary}",
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(log), output, 0o600),
                (os.POSIX_SPAWN_DUP2, listener, _LISTENER_FD),
            ],
            setsid=True,
        )
    finally:
        os.close(binary)


def sealed_copy(path: str) -> int:
    """Return a descriptor of an immutable copy of a program in memory; raises OSError.

    What a container could reach through /proc/PID/exe is then not the host's interpreter (CVE-2019-5736).
    """
    fd = os.memfd_create("pycompose-keeper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        source = os.open(os.path.realpath(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.sendfile(fd, source, None, 1 << 30):
                pass
        finally:
            os.close(source)
        # Out of the way of the descriptors that the new process is given by number.
        fd, low = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LISTENER_FD + 1), fd
        os.close(low)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd
