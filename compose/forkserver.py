"""The process that performs commands for callers who have nothing loaded: `python -I -m pycompose.forkserver FD`.

A supervisor starts it after a command has run, and tells it by closing the other end of socket FD that the project is
down; it also ends by itself when nobody has called for a while, or when our code has changed on the disk. What both
sides say to each other is in handover.py. One thread, no locks: a fork of it can do whatever a new process can.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import marshal
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn, cast

from pycompose.engine.linux.process import close_all_but, set_parent_death_signal
from pycompose.handover import INT_BYTES, PACKET_BYTES, QUICK, REQUEST, SOCKET, STARTED, identity
from pycompose.start import GARBAGE

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S = 300.0
BUSY = b"busy"
DESCRIPTORS = 5
# What the commands of handover.QUICK load on their way; tests/e2e/test_forkserver.py tells when one is missing.
MODULES = (
    "pycompose.cli.main",
    *(f"pycompose.cli.{name}" for name in sorted(QUICK - {"inspect"})),  # it loads the networking, 20 MB
    "pycompose.cli.progress", "pycompose.cli.terminal", "pycompose.config.load", "pycompose.config.render",
    "pycompose.config.bind", "pycompose.config.hashing", "pycompose.activity", "pycompose.again", "pycompose.app",
    "pycompose.images", "pycompose.observe", "pycompose.oneoff", "pycompose.output", "pycompose.query",
    "pycompose.sessions", "pycompose.engine.images.gc", "pycompose.engine.images.host", "pycompose.engine.paths",
    "pycompose.engine.stats", "pycompose.volumes.store",
)  # fmt: skip


class Forkserver:
    """The listening socket, the supervisor's end, and the commands under way."""

    def __init__(self, directory: str, supervisor: socket.socket) -> None:
        """`directory` is where the project's sockets are; it gets ours. Raises OSError."""
        self._path = f"{directory}/{SOCKET}"
        self._code = _code()
        self._supervisor: socket.socket | None = supervisor
        self._listener: socket.socket | None = _listen(directory)
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._callers: set[socket.socket] = set()
        self._commands = 0
        self._watch(self._listener.fileno(), self._accept)
        self._watch(supervisor.fileno(), self._project_is_down)

    def serve(self) -> None:
        """Perform commands until there is no reason to be here any more."""
        while self._listener is not None or self._commands:
            ready = self._poll.poll(IDLE_S * 1000)
            if not ready and not self._callers:
                self._stop_listening()
            for fd, _ in ready:
                if fd in self._handlers:  # or the one before has closed it
                    self._handlers[fd]()

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        del self._handlers[fd]
        self._poll.unregister(fd)

    def _stop_listening(self) -> None:
        """Take no more commands; those under way go on."""
        if self._listener is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _project_is_down(self) -> None:
        """End, or tell that a command isn't over; it may be the one that the supervisor ends for."""
        self._stop_listening()
        if self._supervisor is not None:
            self._forget(self._supervisor.fileno())
            if self._commands:
                with contextlib.suppress(OSError):
                    self._supervisor.send(BUSY)
                self._supervisor.close()
            self._supervisor = None

    # ------------------------------------------------------------------ callers

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - nobody calls otherwise
        caller, _ = self._listener.accept()
        uid = _peer_uid(caller)
        if uid != os.geteuid() or _code() != self._code:
            caller.close()
            if uid == os.geteuid():
                self._stop_listening()
            return
        self._callers.add(caller)
        self._watch(caller.fileno(), lambda: self._request(caller))
        with contextlib.suppress(OSError):
            caller.setblocking(False)
            caller.send(identity())

    def _hang_up(self, caller: socket.socket) -> None:
        self._callers.discard(caller)
        self._forget(caller.fileno())
        caller.close()

    def _request(self, caller: socket.socket) -> None:
        """Start the command of a caller, whose next sign of life will be its end."""
        try:
            data, fds, _, _ = socket.recv_fds(caller, PACKET_BYTES, DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if data != REQUEST or len(fds) != DESCRIPTORS:
            self._hang_up(caller)
        else:
            self._start(caller, fds)
        for fd in fds:
            os.close(fd)

    def _start(self, caller: socket.socket, fds: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError:
            self._hang_up(caller)
            return
        if pid == 0:
            _become(fds)
        self._commands += 1
        command = os.pidfd_open(pid)
        self._forget(caller.fileno())
        self._watch(caller.fileno(), lambda: self._caller_gone(caller, command))
        self._watch(command, lambda: self._ended(caller, command, pid))
        with contextlib.suppress(OSError):
            socket.send_fds(caller, [STARTED], [command])

    def _caller_gone(self, caller: socket.socket, command: int) -> None:
        """End the command: its caller has been killed."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(command, signal.SIGKILL)
        self._forget(caller.fileno())

    def _ended(self, caller: socket.socket, command: int, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        self._commands -= 1
        self._forget(command)
        os.close(command)
        if caller.fileno() in self._handlers:
            self._forget(caller.fileno())
        self._callers.discard(caller)
        with contextlib.suppress(OSError):
            caller.send(status.to_bytes(INT_BYTES, sys.byteorder))
        if self._listener is not None or self._commands:
            caller.close()
        # Else the caller sees our end as the end of the connection.


def _listen(directory: str) -> socket.socket:
    """Return the listening socket; the name appears when it answers."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{fd}/{SOCKET}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(path)
        listener.listen(128)
    finally:
        os.close(fd)
    return listener


def _peer_uid(caller: socket.socket) -> int:
    """Return the user of the other side (SO_PEERCRED, unix(7): struct ucred is pid, uid, gid)."""
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * INT_BYTES)
    return int.from_bytes(credentials[INT_BYTES : 2 * INT_BYTES], sys.byteorder)


def _code() -> list[tuple[str, int, int]]:
    """Return what tells when a file that we have loaded has been changed: name, mtime and size of each."""
    found = []
    for name in _FILES:
        try:
            status = os.stat(name)
        except OSError:
            continue
        found.append((name, status.st_mtime_ns, status.st_size))
    return found


# ---------------------------------------------------------------------- in the fork


def _become(fds: list[int]) -> NoReturn:
    """Be the process that the caller would have been."""
    code = 1
    try:
        set_parent_death_signal(signal.SIGKILL)
        memory, here, *streams = fds
        os.setsid()
        with open(memory, "rb", closefd=False) as file:
            file.seek(0)
            arguments, environment, umask, ignored, kinds = marshal.load(file)  # noqa: S302 - our own uid has sent it
        os.fchdir(here)
        for target, fd in enumerate(streams):
            os.dup2(fd, target)
        close_all_but(())
        os.umask(umask)
        os.environb.clear()
        os.environb.update(environment)
        time.tzset()
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        sys.argv = ["pycompose", *arguments]
        _open_streams(kinds)
        gc.set_threshold(GARBAGE)
        gc.enable()
        from pycompose.cli.main import main  # noqa: PLC0415 - loaded long ago

        code = main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001 - this process must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        _leave(code)


def _open_streams(kinds: list[tuple[str, str, bool, bool]]) -> None:
    """Open the standard streams as the caller's are: encoding, errors, by lines, unbuffered (PYTHONUNBUFFERED)."""
    opened = []
    for fd, (encoding, errors, by_line, unbuffered) in enumerate(kinds):
        raw = io.FileIO(fd, "r" if fd == 0 else "w", closefd=False)
        buffer = io.BufferedReader(raw) if fd == 0 else raw if unbuffered else io.BufferedWriter(raw)
        opened.append(
            io.TextIOWrapper(
                cast("io.BufferedWriter", buffer),
                encoding,
                errors,
                line_buffering=by_line,
                write_through=unbuffered,
            )
        )
    sys.stdin, sys.stdout, sys.stderr = opened
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = opened  # type: ignore[misc]


def _leave(code: int) -> NoReturn:
    """End without taking the interpreter apart."""
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:  # noqa: BLE001 - as above
        code = code or 1
    finally:
        os._exit(code & 0xFF)


def main() -> int:
    """Load everything and serve."""
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    directory = sys.argv[2]
    for name in MODULES:
        importlib.import_module(name)
    _FILES.extend(
        str(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in sys.stdlib_module_names and getattr(module, "__file__", None)
    )
    forkserver = Forkserver(directory, supervisor)
    gc.collect()
    gc.freeze()
    gc.disable()
    forkserver.serve()
    os._exit(0)


_FILES: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
