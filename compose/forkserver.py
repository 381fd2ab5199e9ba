"""The process that performs commands for callers who have nothing loaded: `python -I -m pycompose.forkserver FD`.

A supervisor starts it after a command has run, and tells it by closing the other end of socket FD that the project is
down; it also ends by itself when nobody has called for a while, or when our code has changed on the disk. What both
sides say to each other is in handover.py. One thread, no locks: a fork of it can do whatever a new process can.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from pycompose.caller import is_bounded_as_we_are
from pycompose.commands import COMMANDS, NEVER
from pycompose.engine.linux.process import close_all_but
from pycompose.engine.linux.sockets import receive_fds
from pycompose.forkserver_fork import DESCRIPTORS, LOOK, may_build, peer, rehearse, wait_for_command
from pycompose.forkserver_keeper import SpareKeeper
from pycompose.handover import DIRECTORY_VARIABLE, INT_BYTES, PACKET_BYTES, REQUEST, SOCKET, STARTED, identity

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_MS = 300_000
# After so long the fork in reserve goes: it has copied 5.6 MiB, and whoever comes then waits 4 ms longer, once.
RESERVE_MS = 10_000
# After so long without anything to do the next fork is made: not while a short command needs the processors.
QUIET_MS = 3
# Where somebody builds, a keeper waits for his next build; so long after a command it goes, 9 MiB, for 50 ms.
KEEPER_MS = 120_000
LONG_MS = 60
BUSY = b"busy"
# What commands load on their way: those that are handed over, their use cases, and what these import late.
# tests/e2e/test_forkserver.py tells when one is missing.
MODULES = (
    *(row.module for row in COMMANDS.values() if row.handed_over != NEVER),
    *sorted({row.use_case for row in COMMANDS.values() if row.use_case}),
    "pycompose.cli.debug_shell", "pycompose.cli.display.progress", "pycompose.cli.display.steps",
    "pycompose.cli.display.terminal",
    "pycompose.client.context", "pycompose.client.images", "pycompose.client.oneoff", "pycompose.client.ready_images",
    "pycompose.client.telling",
    "pycompose.config.bind", "pycompose.config.hashing", "pycompose.config.load", "pycompose.config.render",
    "pycompose.config.runnable", "pycompose.config.seccomp_profiles", "pycompose.engine.builder.running",
    "pycompose.engine.builder.stepwork", "pycompose.engine.cgroups.stats", "pycompose.engine.images.gc",
    "pycompose.engine.images.host", "pycompose.engine.paths", "pycompose.ipc.retry", "pycompose.machine.images",
    "pycompose.machine.network_creation", "pycompose.machine.networks",
    "pycompose.privileges", "pycompose.state.records", "pycompose.state.snapshot", "pycompose.volumes.store",
)  # fmt: skip

# What only builds load besides, 0.3 MiB and 15 ms: once somebody has built.
BUILDING = (
    "pycompose.build.network", "pycompose.engine.builder.clearing", "pycompose.engine.builder.copying",
    "pycompose.engine.builder.explain", "pycompose.engine.builder.scratch", "pycompose.engine.filesystem.view",
    "pycompose.networking.dns.sockets", "pycompose.networking.firewall.other_firewalls",
    "pycompose.networking.netlink.rtnetlink",
)  # fmt: skip


class Fork(NamedTuple):
    """A process that performs one command, or waits for one on the other end of `channel`."""

    pid: int
    pidfd: int
    channel: socket.socket


class Forkserver:
    """The listening socket, the supervisor's end, the commands under way, and a fork in reserve for the next one."""

    def __init__(self, directory: str, supervisor: socket.socket) -> None:
        """`directory` is where the project's sockets are; it gets ours. Raises OSError."""
        self._project = os.path.basename(directory)
        self._path = f"{directory}/{SOCKET}"
        self._code = _code()
        self._identity = identity()
        self._supervisor: socket.socket | None = supervisor
        self._listener: socket.socket | None = _listen(directory)
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._callers: set[socket.socket] = set()
        self._commands = 0
        self._used_s = time.monotonic()
        self._reserve: Fork | None = None
        # Whether somebody has built.
        self._builds = False
        self._keeper = SpareKeeper(self._watch, self._forget)
        self._watch(self._listener.fileno(), self._accept)
        self._watch(supervisor.fileno(), self._project_is_down)

    def serve(self) -> None:
        """Perform commands until there is no reason to be here any more."""
        while self._listener is not None or self._commands:
            ready = self._poll.poll(self._patience_ms())
            if not ready and self._listener is not None:
                self._nobody_came()
            for fd, _ in ready:
                if fd in self._handlers:  # or the one before has closed it
                    self._handlers[fd]()

    def _idle_ms(self) -> float:
        return (time.monotonic() - self._used_s) * 1000

    def _patience_ms(self) -> float:
        """Return how long nobody may come before `_nobody_came` has something to do."""
        idle_ms = self._idle_ms()
        if self._listener is not None and idle_ms < RESERVE_MS and self._lacks_something():
            return LONG_MS if self._commands else QUIET_MS
        there = (self._reserve is not None, self._keeper.is_there, True)
        for is_there, until_ms in zip(there, (RESERVE_MS, KEEPER_MS, IDLE_MS), strict=True):
            if is_there and idle_ms < until_ms:
                return until_ms - idle_ms
        return IDLE_MS

    def _lacks_something(self) -> bool:
        return self._reserve is None or self._lacks_keeper()

    def _lacks_keeper(self) -> bool:
        # Not beside a command, which may be a build, and needs the processors.
        return self._builds and not self._keeper.is_there and not self._commands

    def _nobody_came(self) -> None:
        """Have a fork in reserve while commands come one after the other, later none, and end at last."""
        idle_ms = self._idle_ms()
        if idle_ms >= IDLE_MS and not self._callers:
            self._stop_listening()
        elif idle_ms >= KEEPER_MS:
            self._drop_reserve()
            self._keeper.drop()
        elif idle_ms >= RESERVE_MS:
            self._drop_reserve()
        elif self._reserve is None:
            if self._builds:
                self._load_builder()
            with contextlib.suppress(OSError):
                self._keep(self._fork())
            self._identity = identity()
        elif self._lacks_keeper():
            self._builds = self._keeper.start()

    def _load_builder(self) -> None:
        """Load what the next build need not load then, unless our code has changed meanwhile."""
        if BUILDING[0] in sys.modules or _code() != self._code:
            return
        for name in BUILDING:
            importlib.import_module(name)
        _note_files()
        self._code = _code()
        gc.freeze()

    def _watch(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def _forget(self, fd: int) -> None:
        del self._handlers[fd]
        self._poll.unregister(fd)

    def _stop_listening(self) -> None:
        """Take no more commands; those under way go on."""
        self._drop_reserve()
        self._keeper.drop()
        if self._listener is not None:
            with contextlib.suppress(OSError):
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

    # ------------------------------------------------------------------ forks

    def _fork(self) -> Fork:
        """Make a process that waits for its command; raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs:
            try:
                pid = os.fork()
            except OSError:
                ours.close()
                raise
            if pid == 0:
                wait_for_command(theirs.fileno(), self._project, builds=self._builds)
        return Fork(pid, os.pidfd_open(pid), ours)

    def _keep(self, fork: Fork) -> None:
        """Have a fork in reserve, one that may have ended too."""
        self._reserve = fork
        self._watch(fork.pidfd, self._drop_reserve)

    def _drop_reserve(self) -> None:
        """End the fork in reserve, if it hasn't ended already."""
        fork, self._reserve = self._reserve, None
        if fork is not None:
            self._forget(fork.pidfd)
            os.kill(fork.pid, signal.SIGKILL)
            os.waitpid(fork.pid, 0)
            os.close(fork.pidfd)
            fork.channel.close()

    def _take(self) -> Fork:
        """Return the fork in reserve or another one; raises OSError."""
        fork, self._reserve = self._reserve, None
        if fork is None:
            return self._fork()
        self._forget(fork.pidfd)
        return fork

    # ------------------------------------------------------------------ callers

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - nobody calls otherwise
        caller, _ = self._listener.accept()
        self._used_s = time.monotonic()
        pid, uid = peer(caller)
        if uid != os.geteuid() or not is_bounded_as_we_are(pid):
            caller.close()
            return
        self._callers.add(caller)
        self._watch(caller.fileno(), lambda: self._request(caller))
        caller.setblocking(False)
        with contextlib.suppress(OSError):
            caller.send(self._identity)
        if _code() != self._code:  # looked at while the caller prepares its request
            self._hang_up(caller)
            self._stop_listening()

    def _hang_up(self, caller: socket.socket) -> None:
        self._callers.discard(caller)
        self._forget(caller.fileno())
        caller.close()

    def _request(self, caller: socket.socket) -> None:
        """Start the command of a caller, whose next sign of life will be its end."""
        try:
            data, fds, _ = receive_fds(caller, PACKET_BYTES, DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        try:
            if data != REQUEST or len(fds) != DESCRIPTORS:
                self._hang_up(caller)
            else:
                self._start(caller, fds)
        except OSError:
            self._hang_up(caller)
        finally:
            for fd in fds:
                os.close(fd)

    def _start(self, caller: socket.socket, fds: list[int]) -> None:
        fork = self._take()
        builds = may_build(fds[0])
        self._builds = self._builds or builds
        keeper = self._keeper.lend(fork.pid) if builds else []
        try:
            # Told first: a short command is over before we get to it, and its caller would take that for a refusal.
            socket.send_fds(caller, [STARTED], [fork.pidfd])
            socket.send_fds(fork.channel, [REQUEST], [*fds, caller.fileno(), *keeper])
        except OSError:
            self._keep(fork)
            raise
        fork.channel.close()
        self._commands += 1
        self._forget(caller.fileno())
        self._watch(caller.fileno(), lambda: self._caller_gone(caller, fork))
        self._watch(fork.pidfd, lambda: self._ended(caller, fork))

    def _caller_gone(self, caller: socket.socket, fork: Fork) -> None:
        """End the command: its caller has been killed, or has its status already."""
        self._forget(caller.fileno())
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fork.pidfd, signal.SIGKILL)

    def _ended(self, caller: socket.socket, fork: Fork) -> None:
        """Tell the caller how a command has ended that couldn't do so itself."""
        _, status = os.waitpid(fork.pid, 0)
        self._keeper.back(fork.pid)
        self._commands -= 1
        self._forget(fork.pidfd)
        os.close(fork.pidfd)
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


def _note_files() -> None:
    """Note where all that is loaded and isn't Python's own has come from."""
    _FILES[:] = [
        str(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in sys.stdlib_module_names and getattr(module, "__file__", None)
    ]


def main() -> int:
    """Load everything and serve."""
    supervisor = socket.socket(fileno=int(sys.argv[1]))
    supervisor.set_inheritable(False)
    close_all_but((supervisor.fileno(),))
    directory = (
        os.environ.pop(DIRECTORY_VARIABLE, "") or sys.argv[2]
    )  # an argument, with supervisors of older versions
    for name in MODULES:
        importlib.import_module(name)
    rehearse(os.path.basename(directory), LOOK, ("ps", "--all"), ("config",))
    _note_files()
    try:
        forkserver = Forkserver(directory, supervisor)
    except OSError as exc:
        print(f"forkserver: cannot listen in {directory}: {exc.strerror}", file=sys.stderr)
        return 1
    gc.collect()
    gc.freeze()
    gc.disable()
    forkserver.serve()
    os._exit(0)


_FILES: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
