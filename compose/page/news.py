"""What commands elsewhere tell of their work (client/telling.py), heard while a page is open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from pycompose.client.telling import SUFFIX, news_directory
from pycompose.engine.statedirs import make_directory
from pycompose.ipc.protocol import short_path
from pycompose.page.works import MOST_TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycompose.client.context import Context
    from pycompose.page.works import Works

_MESSAGE_BYTES = 1 << 18
_BACKLOG = 64
# So many at a time, so that who tells much doesn't keep the loop from other work.
_AT_ONCE = 100


class News:
    """One socket for all open pages; lives in the event loop."""

    def __init__(self, context: Context, works: Works) -> None:
        self._directory = news_directory(context.paths)
        self._works = works
        self._pages = 0
        self._sock: socket.socket | None = None
        self._tellers: dict[socket.socket, set[str]] = {}  # each with the keys of its work

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while a page is open. Raises OSError."""
        self._pages += 1
        try:
            if self._sock is None:
                self._open()
            yield
        finally:
            self._pages -= 1
            if not self._pages:
                self._close()

    def _open(self) -> None:
        path = make_directory(self._directory) / f"{os.getpid()}{SUFFIX}"
        path.unlink(missing_ok=True)
        self._sock = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        with short_path(path) as name:
            self._sock.bind(name)
        self._sock.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(self._sock, self._called, self._sock)

    def _close(self) -> None:
        if self._sock is not None:
            for sock in (self._sock, *self._tellers):
                asyncio.get_running_loop().remove_reader(sock)
                sock.close()
            self._sock = None
            self._tellers.clear()
            (self._directory / f"{os.getpid()}{SUFFIX}").unlink(missing_ok=True)

    def _called(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            sock.setblocking(False)
            self._tellers[sock] = set()
            asyncio.get_running_loop().add_reader(sock, self._readable, sock)

    def _readable(self, sock: socket.socket) -> None:
        try:
            for _ in range(_AT_ONCE):
                data = sock.recv(_MESSAGE_BYTES)
                if not data:
                    self._hung_up(sock)
                    return
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    self._tellers[sock].add(self._heard(json.loads(data)))
        except BlockingIOError:
            pass
        except OSError:
            self._hung_up(sock)

    def _hung_up(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()
        for key in self._tellers.pop(sock):
            self._works.abandon(key)

    def _heard(self, told: dict[str, Any]) -> str:
        """Take note of what was told; return the key of the work."""
        key = str(told["work"])[:MOST_TEXT]
        if not self._works.knows(key):
            self._works.begin(
                key, str(told["project"])[:MOST_TEXT], str(told["title"])[:MOST_TEXT], pid=int(told["pid"])
            )
        if told.get("ended"):
            self._works.end(key, str(told.get("error", ""))[:MOST_TEXT])
        else:
            self._works.tell(key, told["event"])
        return key
