"""The page's server, on 127.0.0.1 of the machine or on a unix socket.

It is a process in the foreground, one in the background that `up` has started (background.py), or the one that serves
the Engine API (`system serve --page`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.api.connection import ApiConnection
from pycompose.api.execs import Attached, Execs
from pycompose.api.followers import Followers
from pycompose.api.http import Clients, Services
from pycompose.api.hub import EventHub
from pycompose.api.server import KEPT_BYTES, listening
from pycompose.api.workers import Workers
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux import outside
from pycompose.engine.linux.memory import be_thrifty
from pycompose.page.background import ADDRESS, address_of, noted, until_gone
from pycompose.page.shared import PageShared
from pycompose.page.site import PageSite
from pycompose.page.tokens import held_token, new_token
from pycompose.state.memory import remember

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pycompose.client.context import Context

BACKLOG = 64
MOST_CONNECTIONS = 200
LIMIT_BYTES = 1 << 16
# A browser keeps connections for the next request, even when its last page of ours has been closed.
KEPT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """What is served where: on a unix socket at `path`, or ("") at `port`, 0 being any that is free.

    `project` "" is all of them. In the `background` it is one project's, for as long as there is that. `start` are the
    global flags that lead to a project's files in the present directory, None for no such.
    """

    port: int = 0
    path: str = ""
    project: str = ""
    read_only: bool = False
    background: bool = False
    start: tuple[str, ...] | None = None

    @property
    def allows(self) -> str:
        """What who has the token may do."""
        return f"{'look at' if self.read_only else 'change'} {self.project or 'all projects'}"


def serve(context: Context, options: PageOptions, ready: Callable[[str], None]) -> None:
    """Serve the page until a signal comes, one in the background until nobody needs it; `ready` gets its address.

    Raises PycomposeError.
    """
    services = Services(
        context=context, events=EventHub(context), execs=Execs(), attached=Attached(), followers=Followers()
    )
    remember()
    be_thrifty(KEPT_BYTES)

    async def run() -> None:
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, over.set)
        pages = asyncio.ensure_future(serve_pages(services, options, ready))
        ended = asyncio.ensure_future(over.wait())
        await asyncio.wait([pages, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in (pages, ended):
            task.cancel()
        await asyncio.wait([pages, ended])
        if not pages.cancelled() and (error := pages.exception()) is not None:
            raise error

    asyncio.run(run())


async def serve_pages(services: Services, options: PageOptions, ready: Callable[[str], None]) -> None:
    """Serve the page as `serve` does, until this is cancelled. Raises PycomposeError."""
    paths = services.context.paths
    with contextlib.ExitStack() as stack:
        port = 0
        if options.path:
            listener = stack.enter_context(listening(Path(options.path)))
            token = new_token()
        else:
            listener = stack.enter_context(listen(options.port))
            port = listener.getsockname()[1]
            token = stack.enter_context(held_token(paths, port, options.allows))
            if options.background:
                stack.enter_context(noted(paths, options.project, port))
        shared = PageShared(services.context, services.events, options.start)
        site = PageSite(services, shared, port, token, options.project, read_only=options.read_only)
        connections = _Connections(site, services.clients)
        async with connections.accepted(listener):
            ready(address_of(port, token))
            if options.background:
                await until_gone(paths, options.project, connections.some, connections.closed)
            else:
                await asyncio.Event().wait()


class _Connections:
    """Those that are open."""

    def __init__(self, site: PageSite, clients: Clients) -> None:
        self._site = site
        self._clients = clients
        self._workers = Workers()
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()

    def some(self) -> bool:
        """Tell whether there are any."""
        return bool(self._tasks)

    @contextlib.asynccontextmanager
    async def accepted(self, listener: socket.socket) -> AsyncIterator[None]:
        """Serve who connects during the block."""
        start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
        server = await start(self._accept, sock=listener, limit=LIMIT_BYTES)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ApiConnection((reader, writer), self._site, self._workers, idle_s=KEPT_S)
        full = len(self._tasks) >= MOST_CONNECTIONS
        work = connection.refuse(503, "too many connections") if full else connection.serve()
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        self._clients.come()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._clients.go()
        self.closed.set()


def listen(port: int) -> socket.socket:
    """Return a socket that listens on the machine's own loopback device. Raises PycomposeError."""
    try:
        if outside.is_elsewhere():
            sock = outside.bind(ADDRESS, port, "tcp")
            # Connections inherit it: what is left of them (TIME_WAIT) doesn't keep the next server from this port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ADDRESS, port))
        sock.listen(BACKLOG)
    except OSError as exc:
        raise PycomposeError(
            f"{ADDRESS}:{port}: cannot listen: {exc.strerror}", hint="choose another --port, or none"
        ) from exc
    return sock
