"""The supervisor's end of the keeper: one method per request, for many threads at once."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import queue
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pycompose.engine import apparmor, launch
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
    Outcomes,
    StartedExec,
)
from pycompose.engine.config import Process, from_json
from pycompose.engine.errors import EngineError, KeeperLost, KeeperMismatch, NoSuchContainer, PycomposeError
from pycompose.engine.keeper import requests, wire
from pycompose.engine.machine import has_apparmor
from pycompose.engine.paths import StatePaths
from pycompose.engine.seccomp.filters import Filters
from pycompose.engine.state import ContainerState, read_state
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json

_BACKLOG = 16
_REAP_S = 0.5
_ANSWER_S = 5.0

_Pending = queue.SimpleQueue[tuple[dict[str, Any], Fds]]


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
        self._pending: dict[int, _Pending] = {}
        self._gone = False
        self._ending = False
        self._paths = paths
        self._filters = Filters(paths)
        # How many keys of the keeper's a key is, where that isn't one.
        self._parts: dict[str, int] = {}
        self._given_filters: set[str] = set()
        self._thread = threading.Thread(target=self._read, name=f"keeper-{project}", daemon=True)
        self.pid = 0
        # The answer to the greeting, where it was sent before the keeper was there (launch_guarded).
        self._greeting: _Pending | None = None

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
        with _listening(paths, project) as listener:
            return launch.spawn(paths, project, listener, log)

    @classmethod
    def launch_guarded(
        cls,
        paths: StatePaths,
        project: str,
        log: Path,
        *,
        on_event: OnEvent,
        guard: tuple[Sequence[str], Mapping[str, str]],
    ) -> KeeperClient:
        """Start the keeper's process with `guard` (as for `guard`) waiting for it; `ready` waits until it answers.

        We are connected before the process is there: whenever we die, it meets our guard and the end of the connection.
        Raises EngineError as `start` does.
        """
        argv, environment = guard
        with _listening(paths, project) as listener:
            keeper = cls(paths, project, _connect(paths.keeper_socket(project)), on_event, None)
            keeper._thread.start()
            try:
                keeper._greeting = keeper._post(requests.Hello(protocol=wire.PROTOCOL))
                keeper._post(requests.Guard(argv=tuple(argv), environment=dict(environment)))
                keeper._child = launch.start(paths, project, listener, log)
            except BaseException:
                keeper.close()
                raise
        return keeper

    def ready(self) -> None:
        """Wait until the keeper that `launch_guarded` has started answers; others have. Raises EngineError."""
        if self._greeting is None:
            return
        try:
            result, _fds = _answer(self._greeting)
        except EngineError:
            self.close()
            raise
        self.pid = int(result["pid"])

    @classmethod
    def connect(
        cls,
        paths: StatePaths,
        project: str,
        *,
        on_event: OnEvent,
        child: int | None = None,
    ) -> KeeperClient:
        """Connect to the keeper of `project`, which is our `child` if we have launched it.

        Raises EngineError when none listens, KeeperMismatch when it speaks another protocol.
        """
        return cls._greet(paths, project, on_event, child)

    @classmethod
    def _greet(
        cls,
        paths: StatePaths,
        project: str,
        on_event: OnEvent,
        child: int | None,
    ) -> KeeperClient:
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
        self._load_profile(container_id)
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

    def _load_profile(self, container_id: str) -> None:
        """Have the kernel know the AppArmor profile that containers get by default, if this one has it."""
        if has_apparmor():
            try:
                config = read_json(self._paths.container(container_id) / "config.json")
            except FileNotFoundError:
                raise NoSuchContainer(f"container {container_id[:12]}: there is none") from None
            if config["process"].get("apparmor") == apparmor.DEFAULT:
                apparmor.load_default()

    def _filter(self, container_id: str) -> str:
        """Return the name of a container's filter, which the keeper is given when it hasn't got it; "" for none."""
        try:
            packed = self._filters.of_container(container_id)
        except FileNotFoundError:
            raise NoSuchContainer(f"container {container_id[:12]}: there is none") from None
        if not packed:
            return ""
        name = hashlib.sha256(packed).hexdigest()
        if name not in self._given_filters:
            fd = os.memfd_create("filter", os.MFD_CLOEXEC)
            try:
                os.write(fd, packed)
                self._call(requests.Filter(name=name), [fd])
            finally:
                os.close(fd)
            self._given_filters.add(name)
        return name

    def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to the first process of a container."""
        self._call(requests.SignalContainer(container=container_id, signal=signum))

    def signal_each(self, wanted: Sequence[tuple[str, int]]) -> Outcomes:
        """Send each of several containers a signal; return what went wrong with it, None where nothing did.

        All are sent before the first answer is waited for.
        """
        sent: list[_Pending | PycomposeError] = []
        for container_id, signum in wanted:
            try:
                sent.append(self._post(requests.SignalContainer(container=container_id, signal=signum)))
            except PycomposeError as exc:
                sent.append(exc)
        return [_failure(pending) for pending in sent]

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
        """Have the keeper hold copies of `fds` under `key`, in place of what it held there.

        A message carries wire.MAX_FDS of them: what is more has keys of its own, `KEY#1`, `KEY#2`…
        """
        parts = [fds[start : start + wire.MAX_FDS] for start in range(0, len(fds), wire.MAX_FDS)] or [()]
        before = self._parts.get(key, 1)
        self._parts[key] = max(before, len(parts))
        for number, part in enumerate(parts):
            self._call(requests.Hold(key=_part(key, number)), part)
        for number in range(len(parts), before):
            self._call(requests.Drop(key=_part(key, number)))
        self._parts[key] = len(parts)

    def take(self, key: str) -> Fds:
        """Return copies of what is held under `key`; the keeper goes on holding them."""
        if key not in self._parts:
            self.held()
        numbers = range(self._parts.get(key, 1))
        return [fd for number in numbers for fd in self._call(requests.Take(key=_part(key, number)))[1]]

    def drop(self, *keys: str) -> None:
        """Have the keeper close what it holds under `keys`; all are sent before the first answer is waited for."""
        parts = [_part(key, number) for key in keys for number in reversed(range(self._parts.pop(key, 1)))]
        for pending in [self._post(requests.Drop(key=part)) for part in parts]:
            _answer(pending)

    def held(self) -> Keys:
        """Return the keys of what is held."""
        keys = []
        for found in self._call(requests.ListHeld())[0]["keys"]:
            key, _, number = found.partition("#")
            self._parts[key] = max(self._parts.get(key, 1), int(number or 0) + 1)
            if not number:
                keys.append(key)
        return keys

    def list(self) -> Entries:
        """Return id, pid and status (starting, running, paused) of each container."""
        return list(self._call(requests.ListContainers())[0]["containers"])

    def discard(self, *container_ids: str) -> None:
        """Kill containers that run; remove their control groups, FIFOs and run directories. Can be repeated.

        All are sent before the first answer is waited for; raises what the first has failed with, at the end.
        """
        sent = [self._post(requests.Discard(container=container_id)) for container_id in container_ids]
        for failure in [_failure(pending) for pending in sent]:
            if failure is not None:
                raise failure

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
        return _answer(self._post(request, fds))

    def _post(self, request: requests.KeeperRequest, fds: Sequence[int] = ()) -> _Pending:
        """Send one request; its answer comes into the queue that is returned."""
        number = next(self._numbers)
        answer: _Pending = queue.SimpleQueue()
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
            except EngineError:
                del self._pending[number]
                raise
        return answer

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


def _part(key: str, number: int) -> str:
    """Return the keeper's key of the part `number` of what is held under `key`."""
    return f"{key}#{number}" if number else key


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


def _answer(pending: _Pending) -> tuple[dict[str, Any], Fds]:
    """Wait for the answer to a request; raises the error that it is."""
    message, received = pending.get()
    if "error" in message:
        error = wire.error_from_json(message["error"])
        if isinstance(error, KeeperMismatch):
            error.fds = list(received)
        raise error
    return message["result"], received


def _failure(pending: _Pending | PycomposeError) -> PycomposeError | None:
    """Return what a request has come to when that is an error; it may not have been sent at all."""
    if isinstance(pending, PycomposeError):
        return pending
    try:
        _answer(pending)
    except PycomposeError as exc:
        return exc
    return None


@contextlib.contextmanager
def _listening(paths: StatePaths, project: str) -> Iterator[int]:
    """Yield the socket that the keeper of a project is to accept connections on; without one afterwards, it is gone.

    Raises EngineError when a keeper runs already, and for an OSError of the block.
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
            yield listener.fileno()
    except OSError as exc:
        path.unlink(missing_ok=True)
        raise EngineError(f"keeper of {project}: cannot start: {exc.strerror}") from exc
