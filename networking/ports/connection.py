"""Relayed TCP connections: pairs of sockets, and what comes out of each goes into the other.

Small things are copied. What becomes large is spliced: it goes from socket to socket by way of a pipe, in blocks of a
megabyte, without being seen here (splice(2)). All sockets are behind one epoll descriptor, which is all that the loop
knows of: its own bookkeeping takes as long as everything else about a short connection.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

COPIED_BYTES = 64 * 1024
# From here on a pipe is worth its while.
LARGE_BYTES = 256 * 1024
PIPE_BYTES = 1 << 20
EVENTS_AT_ONCE, TURN_S = 16, 0.002
# Not SPLICE_F_MORE: it holds small writes back for up to 200 ms (tcp(7), TCP_CORK).
SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
UNDER_WAY = {errno.EINPROGRESS, errno.EALREADY}
BROKEN = select.EPOLLERR | select.EPOLLHUP
RESET_ON_CLOSE = struct.pack("=ii", 1, 0)

log = logging.getLogger(__name__)


class Connections:
    """All connections of one listening socket; all methods belong to the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._ends: dict[int, _End] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def open(self, client: socket.socket, target: tuple[str, int]) -> None:
        """Connect a client to the container; one whose container doesn't answer is reset.

        Raises OSError: then the client is the caller's.
        """
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        server = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        code = server.connect_ex(target)
        if code in UNDER_WAY:
            # On this machine the answer is mostly there already.
            code = server.connect_ex(target)
        near, far = _End(self, client), _End(self, server)
        near.peer, far.peer = far, near
        try:
            if code in UNDER_WAY:
                far.connecting = True
                far.want(writing=True)
            else:
                far.connected(code)
        except OSError as exc:
            log.debug("relay: %s", exc.strerror)
            far.reset()

    def close(self) -> None:
        """Close all connections; what was under way is lost."""
        self._loop.remove_reader(self._epoll.fileno())
        for end in list(self._ends.values()):
            end.close()
        self._epoll.close()

    def watch(self, end: _End, mask: int) -> None:
        """Call `end.ready` for what is in `mask` from now on, and when it breaks."""
        if end.fd in self._ends:
            self._epoll.modify(end.fd, mask)
        else:
            self._epoll.register(end.fd, mask)
            self._ends[end.fd] = end

    def pause(self, end: _End) -> None:
        """Don't call `end.ready` any more until something is wanted again."""
        self._epoll.unregister(end.fd)
        del self._ends[end.fd]

    def forget(self, end: _End) -> None:
        """Take out an end whose socket is about to be closed, which ends the kernel's interest."""
        self._ends.pop(end.fd, None)

    def _ready(self) -> None:
        """Pass on what there is, for a moment; an answer that comes meanwhile needs no turn of the loop."""
        until_s = time.monotonic() + TURN_S
        while (events := self._epoll.poll(0, EVENTS_AT_ONCE)) and time.monotonic() < until_s:
            for fd, mask in events:
                end = self._ends.get(fd)
                if end is not None:
                    end.ready(mask)


class _End:
    """One socket of a pair, and what has come out of it on its way into the other.

    It is read only when all of that has been written: nothing piles up.
    """

    __slots__ = (
        "connecting",
        "ended",
        "fd",
        "in_pipe",
        "left",
        "mask",
        "moved",
        "owner",
        "peer",
        "pipe",
        "sock",
    )

    peer: _End

    def __init__(self, owner: Connections, sock: socket.socket) -> None:
        self.owner = owner
        self.sock = sock
        self.fd = sock.fileno()
        self.mask = 0
        self.left = b""
        self.moved = self.in_pipe = 0
        self.pipe: tuple[int, int] | None = None
        self.ended = self.connecting = False

    # ------------------------------------------------------------------ what happens

    def ready(self, mask: int) -> None:
        """Do what can be done now."""
        try:
            if self.connecting:
                self.connected(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            else:
                if mask & (select.EPOLLOUT | BROKEN) and self.mask & select.EPOLLOUT:
                    self.peer.drain()
                if mask & (select.EPOLLIN | BROKEN) and self.mask & select.EPOLLIN:
                    self.read()
                elif mask & BROKEN:
                    self._broken()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            log.debug("relay: %s", exc.strerror)
            self.reset()

    def _broken(self) -> None:
        """Give up what was read to its end; else pass on first what came before, and then read what is wrong."""
        if self.ended:
            self.reset()
        elif not self.mask:
            self.owner.pause(self)

    def connected(self, code: int) -> None:
        """Begin, now that the connection to the container is there; or it has failed with an errno."""
        self.connecting = False
        if code not in (0, errno.EISCONN):
            log.debug("relay: connect: %s", os.strerror(code))
            self.reset()
            return
        self.want(reading=True)
        self.peer.want(reading=True)
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self.peer.read()  # who connects mostly says something at once

    def read(self) -> None:
        """Pass on what there is. Raises BlockingIOError when there is nothing, and OSError."""
        if self.pipe is None and self.moved >= LARGE_BYTES:
            with contextlib.suppress(OSError):  # no descriptors: copied as before
                self.pipe = _pipe()
        if self.pipe is None:
            self.left = self.sock.recv(COPIED_BYTES)
            count = len(self.left)
        else:
            count = self.in_pipe = os.splice(self.fd, self.pipe[1], PIPE_BYTES, flags=SPLICE_FLAGS)
        if not count:
            self.end()
            return
        self.moved += count
        self.drain()

    def drain(self) -> None:
        """Write what was read; what can't be written yet keeps us from reading on. Raises OSError."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            if self.left:
                self.left = self.left[self.peer.sock.send(self.left) :]
            while self.in_pipe and self.pipe is not None:
                self.in_pipe -= os.splice(self.pipe[0], self.peer.fd, self.in_pipe, flags=SPLICE_FLAGS)
        full = bool(self.left or self.in_pipe)
        if full or self.peer.mask & select.EPOLLOUT:
            self.peer.want(writing=full)
            if not self.ended:
                self.want(reading=not full)

    def end(self) -> None:
        """Pass the end on; the other direction stays open until it ends, too."""
        self.ended = True
        self.want(reading=False)
        with contextlib.suppress(OSError):  # reset meanwhile
            self.peer.sock.shutdown(socket.SHUT_WR)
        if self.peer.ended:
            self.close()

    # ------------------------------------------------------------------ what is wanted

    def want(self, *, reading: bool | None = None, writing: bool | None = None) -> None:
        """Be told from now on, or no more, when the socket can be read or written."""
        mask = self.mask
        for bit, wanted in ((select.EPOLLIN, reading), (select.EPOLLOUT, writing)):
            if wanted is not None:
                mask = mask | bit if wanted else mask & ~bit
        if mask != self.mask:
            self.mask = mask
            self.owner.watch(self, mask)

    def reset(self) -> None:
        """Close both with RST (socket(7), SO_LINGER of zero): they see an error, not an end."""
        for end in (self, self.peer):
            with contextlib.suppress(OSError):
                end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Close both sockets."""
        for end in (self, self.peer):
            if end.fd >= 0:
                end.owner.forget(end)
                end.sock.close()
                end.fd, end.mask = -1, 0
            for fd in end.pipe or ():
                os.close(fd)
            end.pipe = None


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe with room for a megabyte, where that is allowed."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with contextlib.suppress(OSError):  # more than an ordinary user may have
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends
