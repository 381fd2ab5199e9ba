"""The keeper's side of its connections: queues of answers and events that never make the keeper wait."""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from pycompose.engine.errors import EngineError
from pycompose.engine.keeper import wire
from pycompose.engine.keeper.loop import Loop

_MAX_QUEUE = 4096


class Server(Protocol):
    """What a connection tells its owner."""

    def handle(self, connection: ClientConnection, message: dict[str, Any], fds: list[int]) -> None:
        """Carry out a request."""

    def closed(self, connection: ClientConnection) -> None:
        """Forget a connection that has ended."""


class Reply:
    """The answer to one request; given once, now or later."""

    def __init__(self, connection: ClientConnection, number: int) -> None:
        self.connection = connection
        self._number = number

    def ok(self, result: dict[str, Any] | None = None, fds: Sequence[int] = ()) -> None:
        """Answer; the descriptors are copied."""
        self.connection.send({"id": self._number, "result": result or {}}, fds)

    def fail(self, exc: BaseException, fds: Sequence[int] = ()) -> None:
        """Answer with an error; the descriptors are copied."""
        self.connection.send({"id": self._number, "error": wire.error_to_json(exc)}, fds)


class ClientConnection:
    """One client's end at the keeper. What it doesn't read is queued; one that never reads is dropped.

    A client that has died hears nothing, but what it had asked for until then is still read and carried out: a guard
    that comes after a greeting must hold.
    """

    def __init__(self, sock: socket.socket, loop: Loop, server: Server) -> None:
        self._sock = sock
        self._loop = loop
        self._server = server
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._deaf = False
        self.greeted = False
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._on_ready)

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send `message`, now or when the connection reads again."""
        if self._sock.fileno() < 0 or self._deaf:
            return
        try:
            data = wire.encode(message)
        except EngineError as exc:
            data = wire.encode({"id": message.get("id"), "error": wire.error_to_json(exc)})
        self._queue.append((data, [os.dup(fd) for fd in fds]))
        self._flush()
        if len(self._queue) > _MAX_QUEUE:
            self.close()

    def _flush(self) -> None:
        try:
            while self._queue:
                data, fds = self._queue[0]
                wire.send(self._sock, data, fds)
                self._queue.popleft()
                for fd in fds:
                    os.close(fd)
        except BlockingIOError:
            pass
        except OSError:
            self._deaf = True
            self._drop_queue()
        events = select.EPOLLIN | (select.EPOLLOUT if self._queue else 0)
        self._loop.watch(self._sock.fileno(), self._on_ready, events)

    def _on_ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if self._sock.fileno() < 0 or not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            received = wire.receive(self._sock)
        except (BlockingIOError, ConnectionResetError):
            # A reset is told once, before what was sent until then (unix(7): the client died with answers unread).
            return
        except (OSError, EngineError):
            received = None
        if received is None:
            self.close()
            return
        message, fds = received
        self._server.handle(self, message, fds)

    def close(self) -> None:
        """Forget this connection; what it started goes on."""
        if self._sock.fileno() < 0:
            return
        self._loop.forget(self._sock.fileno())
        self._server.closed(self)
        self._drop_queue()
        self._sock.close()

    def _drop_queue(self) -> None:
        for _data, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue.clear()
