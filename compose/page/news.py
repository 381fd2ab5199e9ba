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

_DATAGRAM_BYTES = 1 << 18
# So many at a time, so that who tells much doesn't keep the loop from other work.
_AT_ONCE = 100


class News:
    """One socket for all open pages; lives in the event loop."""

    def __init__(self, context: Context, works: Works) -> None:
        self._directory = news_directory(context.paths)
        self._works = works
        self._pages = 0
        self._sock: socket.socket | None = None

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
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        with short_path(path) as name:
            self._sock.bind(name)
        asyncio.get_running_loop().add_reader(self._sock, self._readable, self._sock)

    def _close(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            (self._directory / f"{os.getpid()}{SUFFIX}").unlink(missing_ok=True)

    def _readable(self, sock: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                data = sock.recv(_DATAGRAM_BYTES)
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    self._heard(json.loads(data))

    def _heard(self, told: dict[str, Any]) -> None:
        key = str(told["work"])[:MOST_TEXT]
        if not self._works.knows(key):
            self._works.begin(
                key, str(told["project"])[:MOST_TEXT], str(told["title"])[:MOST_TEXT], pid=int(told["pid"])
            )
        if told.get("ended"):
            self._works.end(key, str(told.get("error", ""))[:MOST_TEXT])
        else:
            self._works.tell(key, told["event"])
