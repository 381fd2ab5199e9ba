"""The program that relays TCP connections (relay.c): one process for all ports of a supervisor.

It starts with the first connection, since most ports never see one that the kernel can't redirect, and ends with us:
its standard input is one end of a socket pair, on which we ask (`struct request`) and it answers with a number.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pycompose.engine.executables import install
from pycompose.engine.machine import machine_name

if TYPE_CHECKING:
    import asyncio

NAME = "pycompose-relay"
MACHINES = ("aarch64", "x86_64")
LISTEN, RETARGET, CLOSE = 1, 2, 3
# what, socket, then a struct sockaddr_in6 or what is a sockaddr_in to the kernel.
REQUEST, NUMBER = struct.Struct("=ii28s"), struct.Struct("=i")
ANSWERS_S = 10.0
# One that has died so often isn't started again.
MOST_STARTS = 5
PAUSE_S = 30.0

log = logging.getLogger(__name__)


class RelayedSocket(Protocol):
    """A listening socket, where its connections go, and the program's number of it: 0 while that hasn't got it."""

    sock: socket.socket
    target: tuple[str, int]
    number: int

    def lost(self) -> None:
        """Look after the socket again: the program has died. In the loop."""


def packaged(machine: str) -> Path:
    """Return the program for `machine` (uname -m); raises OSError when there is none."""
    if machine not in MACHINES:
        raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), f"{NAME}.{machine}")
    return Path(__file__).with_name(f"{NAME}.{machine}")


class RelayProgram:
    """The process, or none; can be called by any thread. Raises OSError where it can't be had."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        """`path` is where the program is put, to be executed."""
        self._loop = loop
        self._path = path
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._pidfd = -1
        self._starts = 0
        self._not_before_s = 0.0
        self._listeners: dict[int, RelayedSocket] = {}

    def listen(self, listener: RelayedSocket) -> None:
        """Have it accept what comes to a socket, of which it gets a copy; in the loop."""
        with self._lock:
            if self._channel is None:
                self._start_again()
            listener.number = self._ask(LISTEN, listener, fd=listener.sock.fileno())
            self._listeners[listener.number] = listener

    def retarget(self, listener: RelayedSocket, target: tuple[str, int]) -> None:
        """Let new connections go to another target from now on."""
        with self._lock:
            listener.target = target
            if listener.number:
                self._ask(RETARGET, listener)

    def forget(self, listener: RelayedSocket) -> None:
        """Close its copy of the socket, if it has one, and all that was accepted on it."""
        with self._lock:
            if listener.number in self._listeners:
                del self._listeners[listener.number]
                number, listener.number = listener.number, 0
                self._ask(CLOSE, listener, number=number)

    def close(self) -> None:
        """End it with all that it relays."""
        with self._lock:
            self._end()

    # ------------------------------------------------------------------ the process

    def _start_again(self) -> None:
        """Start it, unless that was tried in vain a moment ago, or it dies again and again."""
        if self._starts >= MOST_STARTS or time.monotonic() < self._not_before_s:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), NAME)
        try:
            self._start()
        except OSError as exc:
            log.warning("relay: no program for it, which costs time: %s", exc)
            self._not_before_s = time.monotonic() + PAUSE_S
            raise

    def _start(self) -> None:
        program = install(packaged(machine_name()), self._path)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        ours.settimeout(ANSWERS_S)
        with theirs:
            try:
                pid = os.posix_spawn(
                    program, [NAME], {}, file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
                )
            except OSError:
                ours.close()
                raise
        self._starts += 1
        self._channel, self._pidfd = ours, os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._died)

    def _died(self) -> None:
        """Give all sockets back, whose next connection starts another one."""
        with self._lock:
            listeners = list(self._listeners.values())
            self._end()
        for listener in listeners:
            listener.lost()

    def _end(self) -> None:
        """Kill it if it lives, and let go of it; the caller holds the lock."""
        for listener in self._listeners.values():
            listener.number = 0
        self._listeners.clear()
        if self._channel is None:
            return
        self._channel.close()
        self._channel = None
        if not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)  # a zombie takes it, too
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)

    def _ask(self, what: int, listener: RelayedSocket, *, number: int | None = None, fd: int = -1) -> int:
        """Return its answer; the caller holds the lock. One that doesn't answer is killed, which `_died` hears of."""
        channel = self._channel
        assert channel is not None  # noqa: S101 - numbers are gone with it
        message = REQUEST.pack(
            what, listener.number if number is None else number, _address(*listener.target)
        )
        try:
            if fd < 0:
                channel.send(message)
            else:
                socket.send_fds(channel, [message], [fd])
            data = channel.recv(NUMBER.size)
        except OSError:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            raise
        if not data:
            raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET), NAME)
        (answer,) = NUMBER.unpack(data)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer), NAME)
        return int(answer)


def _address(ip: str, port: int) -> bytes:
    """Return the `struct sockaddr_in` or `sockaddr_in6` of an address (ip(7), ipv6(7)), filled up to the latter."""
    if ":" in ip:
        six = socket.inet_pton(socket.AF_INET6, ip)
        packed = struct.pack("=H2sI16sI", socket.AF_INET6, port.to_bytes(2, "big"), 0, six, 0)
    else:
        packed = struct.pack("=H2s4s", socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(ip))
    return packed.ljust(28, b"\0")
