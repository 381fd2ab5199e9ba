"""The supervisor's end of the control socket (protocol.py)."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING

from pycompose.engine.config import plain
from pycompose.errors import SupervisorError
from pycompose.ipc.messages import ErrorMessage, ResultMessage, to_message
from pycompose.ipc.protocol import Message, receive, send

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from pycompose.engine.errors import PycomposeError
    from pycompose.ipc.messages import Result, SupervisorMessage


class Peer:
    """The supervisor's end of one connection, driven by its event loop."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Peer, Message, list[int]], None],
        on_close: Callable[[Peer], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = loop
        self._on_message = on_message
        self._on_close = on_close
        self._queue: deque[tuple[Message, list[int]]] = deque()
        self.closed = False
        loop.add_reader(sock, self._readable)

    def uid(self) -> int:
        """User id of the process at the other end (unix(7) SO_PEERCRED)."""
        _, uid, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)

    def pid(self) -> int:
        """Process id of the other end, 0 when our pid namespace doesn't have it (unix(7) SO_PEERCRED)."""
        pid, _, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(pid)

    def send(self, message: SupervisorMessage, fds: Sequence[int] = ()) -> None:
        """Send now or queue. The descriptors are closed once they are sent."""
        if self.closed:
            for fd in fds:
                os.close(fd)
            return
        self._queue.append((to_message(message), list(fds)))
        self._flush()

    def fail(self, error: PycomposeError) -> None:
        """Send an error as the end of the operation."""
        self.send(ErrorMessage(error=error.to_json()))

    def answer(self, result: Result, fds: Sequence[int] = ()) -> None:
        """Send the result of the operation."""
        self.send(ResultMessage(result=plain(result)), fds)

    def close(self) -> None:
        """Hang up; queued messages are dropped."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        for _, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue.clear()
        self._socket.close()
        self._on_close(self)

    def _flush(self) -> None:
        while self._queue:
            message, fds = self._queue[0]
            try:
                send(self._socket, message, fds)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                return
            except OSError:
                self.close()
                return
            self._queue.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            message, fds = receive(self._socket)
        except BlockingIOError:
            return
        except (OSError, SupervisorError):
            self.close()
            return
        if message is None:
            self.close()
        else:
            self._on_message(self, message, fds)
