"""Bodies of any size: what becomes of one that its handler doesn't want."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

from pycompose.api.connection import ApiConnection
from pycompose.api.errors import ApiError
from pycompose.api.execs import Attached, Execs
from pycompose.api.followers import Followers
from pycompose.api.http import ApiCall, Services
from pycompose.api.workers import Workers
from pycompose.client.context import Context
from pycompose.engine.paths import StatePaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.api.http import ApiAnswer, Headers

SIZE = 1 << 20


class RefusingSite:
    """Refuses every upload amid it, when all is read that has come, and sets `refused` then."""

    headers: Headers = ()
    slow = True
    uploads = True

    def __init__(self) -> None:
        self.refused = threading.Event()

    def find(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
    ) -> tuple[RefusingSite, ApiCall]:
        """Return what refuses."""
        services = Services(
            context=Context(paths=StatePaths(), sink=lambda _event: None),
            events=None,  # type: ignore[arg-type]
            execs=Execs(),
            attached=Attached(),
            followers=Followers(),
        )
        call = ApiCall(
            method=method, path=target, version=(1, 45), names=(), query={}, headers={}, services=services
        )
        return self, call

    def handler(self) -> Callable[[ApiCall], ApiAnswer]:
        """Return what refuses."""

        def refuse(call: ApiCall) -> ApiAnswer:
            assert call.upload is not None
            call.upload.read(SIZE // 2)
            self.refused.set()
            raise ApiError(404, "no such container")

        return refuse


async def _answered_amid() -> tuple[bool, bytes]:
    """Return whether an answer came before the rest of the body was sent, and the answer."""
    ours, theirs = socket.socketpair()
    site = RefusingSite()
    connection = ApiConnection(await asyncio.open_connection(sock=ours), site, Workers())
    serving = asyncio.ensure_future(connection.serve())
    reader, writer = await asyncio.open_connection(sock=theirs)
    writer.write(b"PUT /x HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % SIZE)
    writer.write(bytes(SIZE // 2))
    assert await asyncio.to_thread(site.refused.wait, 20)
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    # One loop has both ends: this is over before the server's patience is, however busy the machine.
    amid, _ = await asyncio.wait([answer], timeout=0.3)
    writer.write(bytes(SIZE - SIZE // 2))
    head = await answer
    writer.close()
    await serving
    return bool(amid), head


def test_an_upload_that_is_refused_is_read_all_the_same() -> None:
    """Docker's command line tells of a broken pipe besides, when it is answered amid its sending."""
    amid, head = asyncio.run(_answered_amid())
    assert not amid
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" not in head.lower()
