"""Messages for a log server, over a datagram or a stream socket, sent without ever waiting for it.

A server that is slow or away holds up nobody: what it doesn't take is queued, up to QUEUE_BYTES, and what doesn't fit
is counted and left out. A connection that is lost is made again, after RETRY_FIRST_S, doubled up to RETRY_MOST_S.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Protocol

from pycompose.engine.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_BYTES = 1 << 20
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0
# How long what is queued at a container's end may still take.
LINGER_S = 5.0


class EventLoop(Protocol):
    """What is used of the keeper's loop (keeper/loop.py)."""

    def watch(self, fd: int, handler: Callable[[int], object], events: int = ...) -> None:
        """Call `handler` while `fd` is ready; EPOLLHUP and EPOLLERR always count."""

    def forget(self, fd: int) -> None:
        """Stop watching `fd`."""

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogServer:
    """A socket address: `kind` is SOCK_DGRAM or SOCK_STREAM, `address` a path or (IP address, port)."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    address: str | tuple[str, int]

    def __str__(self) -> str:
        return self.address if isinstance(self.address, str) else f"{self.address[0]}:{self.address[1]}"


class Sender:
    """One connection to a server. `lost` counts the messages that were left out since it was last set to 0."""

    def __init__(self, loop: EventLoop, server: LogServer, *, required: bool) -> None:
        """Connect; with `required`, raise OSError when the machine knows at once that nobody is there."""
        self.lost = 0
        self._loop = loop
        self._server = server
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._sent_bytes = 0  # of the first message, on a stream
        self._socket: socket.socket | None = None
        self._connected = False
        self._closed = self._ending = False
        self._retry_s = RETRY_FIRST_S
        failure = self._connect()
        if failure and required:
            self._closed = True
            raise OSError(failure, os.strerror(failure))
        if failure:
            self._retry()

    @property
    def idle(self) -> bool:
        """Whether there is a connection and everything has been sent."""
        return self._connected and not self._queue

    def send(self, message: bytes) -> None:
        """Send one message, now or later; or count it as lost."""
        if self._closed or self._queued_bytes + len(message) > QUEUE_BYTES:
            self.lost += 1
            return
        self._queue.append(message)
        self._queued_bytes += len(message)
        self._flush()

    def finish(self) -> None:
        """Close when everything has been sent, or after LINGER_S."""
        self._ending = True
        if not self._queue:
            self._close()
        else:
            self._loop.after(LINGER_S, self._close)

    def close(self) -> None:
        """Close now, unless `finish` has been called."""
        if not self._ending:
            self._close()

    def _connect(self) -> int:
        """Begin to connect; return the errno of what has failed at once, else 0."""
        kind = self._server.kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(self._server.family, kind)
            code = self._socket.connect_ex(self._server.address)
        except OSError as exc:
            code = exc.errno or errno.EIO
        if code == errno.EINPROGRESS and self._socket is not None:
            if not _is_writable(self._socket):
                self._loop.watch(self._socket.fileno(), self._on_connected, select.EPOLLOUT)
                return 0
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # as on loopback, at once
        if code == 0:
            self._established()
        else:
            self._drop()
        return code

    def _on_connected(self, _events: int) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if self._socket else errno.EBADF
        if code:
            self._drop()
            self._retry()
        else:
            self._established()

    def _established(self) -> None:
        assert self._socket is not None  # noqa: S101 - for the type checker
        if self._server.family != socket.AF_UNIX and self._server.kind == socket.SOCK_STREAM:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connected = True
        self._retry_s = RETRY_FIRST_S
        self._flush()

    def _flush(self) -> None:
        """Send what goes, then wait for room, or for the end of the connection."""
        while self._connected and self._queue and self._socket is not None:
            message = self._queue[0]
            try:
                sent = self._socket.send(message[self._sent_bytes :])
            except BlockingIOError:
                break
            except OSError as exc:
                self._failed(exc.errno or errno.EIO)
                continue
            self._sent_bytes += sent
            if self._sent_bytes == len(message) or self._server.kind == socket.SOCK_DGRAM:
                self._next()
        if not self._connected or self._socket is None:
            return
        if self._ending and not self._queue:
            self._close()
            return
        waiting = select.EPOLLOUT if self._queue else 0
        self._loop.watch(self._socket.fileno(), self._on_ready, waiting | select.EPOLLRDHUP)

    def _next(self) -> None:
        self._queued_bytes -= len(self._queue.popleft())
        self._sent_bytes = 0

    def _failed(self, code: int) -> None:
        """Leave out what can't be sent; connect again when it's the connection that has failed."""
        if code == errno.EMSGSIZE:
            self.lost += 1
            self._next()
        elif self._server.kind == socket.SOCK_DGRAM and self._server.family != socket.AF_UNIX:
            self.lost += 1
            if (
                code != errno.ECONNREFUSED
            ):  # that one is about an earlier datagram (udp(7)): this one is tried again
                self._next()
        else:
            self._drop()
            self._retry()

    def _on_ready(self, events: int) -> None:
        over = events & (select.EPOLLHUP | select.EPOLLRDHUP | select.EPOLLERR)
        if over and self._server.kind == socket.SOCK_STREAM:
            self._drop()
            self._retry()
            return
        if over and self._socket is not None:
            self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # takes the error away (socket(7))
        self._flush()

    def _drop(self) -> None:
        """Give up the connection; a message that was sent in part will be sent whole by the next one."""
        self._connected = False
        self._sent_bytes = 0
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _retry(self) -> None:
        self._loop.after(self._retry_s, self._reconnect)
        self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)

    def _reconnect(self) -> None:
        if not self._closed and self._socket is None and self._connect():
            self._retry()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.lost += len(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._drop()
        if self.lost:
            print(f"log server {self._server}: {self.lost} messages left out", file=sys.stderr, flush=True)


def _is_writable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))
