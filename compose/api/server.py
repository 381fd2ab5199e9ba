"""The server of the API: one process, a socket that is its owner's alone, and an event loop.

```
client ── socket ──> connection (event loop) ── workers (threads) ──> use cases: files, supervisors
                          └─ flows: events, waits, exec and attach (event loop)
```
It has no state but the commands that clients have announced (execs.py), and can be ended and started at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.api import routes
from pycompose.api.connection import ApiConnection
from pycompose.api.execs import Attached, Execs
from pycompose.api.followers import Followers
from pycompose.api.http import Headers, Services
from pycompose.api.hub import EventHub
from pycompose.api.policy import SocketPolicy
from pycompose.api.workers import Workers
from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux.memory import be_thrifty
from pycompose.engine.statedirs import make_directory
from pycompose.state.memory import remember
from pycompose.version import API_VERSION, ENGINE_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from pycompose.api.http import ApiCall
    from pycompose.client.context import Context
    from pycompose.policy.sockets import SocketAccess

    Beside = Callable[[Services], Awaitable[None]]

log = logging.getLogger(__name__)

BACKLOG = 128
# How long the server of a container's socket waits for the next client.
CONTAINER_IDLE_S = 30.0
MOST_CONNECTIONS = 1100
LISTEN_FDS_START = 3  # sd_listen_fds(3)
LIMIT_BYTES = 1 << 16
# What is freed in a larger piece goes back to the machine: the C library's own figure, which it would let grow.
KEPT_BYTES = 1 << 17


class EngineSite:
    """The Engine API as it is allowed through one socket."""

    headers: Headers = (
        ("Api-Version", API_VERSION),
        ("Docker-Experimental", "false"),
        ("Ostype", "linux"),
        ("Server", f"Docker/{ENGINE_VERSION} (linux)"),
    )

    def __init__(self, services: Services, policy: SocketPolicy) -> None:
        self._services = services
        self._policy = policy

    def find(
        self, method: str, target: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[routes.Route, ApiCall]:
        """Return what answers a request, and the request; raises ApiError."""
        route, call = routes.find(method, target, headers, self._services)
        self._policy.check(call, route)
        if call.scope:
            call.guard = functools.partial(self._policy.look, call, route)
        return route, call


class ApiServer:
    """Accepts connections until it is told to end, or nobody has come for a while."""

    def __init__(self, context: Context, *, idle_s: float) -> None:
        """`idle_s` 0 is patience without end."""
        self.services = Services(
            context=context,
            events=EventHub(context),
            execs=Execs(),
            attached=Attached(),
            followers=Followers(),
        )
        self._workers = Workers()
        remember()
        be_thrifty(KEPT_BYTES)
        self._idle_s = idle_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def serve(self, listener: socket.socket, policy: SocketPolicy, ready: Callable[[], None]) -> None:
        """Serve what comes in by a socket that listens; call `ready` first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        server = await asyncio.start_unix_server(
            lambda reader, writer: self._accept(reader, writer, policy), sock=listener, limit=LIMIT_BYTES
        )
        self.services.clients.changed = self._check_idle
        self._check_idle()
        ready()
        await self._over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, policy: SocketPolicy
    ) -> None:
        connection = ApiConnection((reader, writer), EngineSite(self.services, policy), self._workers)
        uid = _peer_uid(writer.get_extra_info("socket"))
        if uid not in (0, os.geteuid()):
            work = connection.refuse(403, f"user {uid} may not use this socket")
        elif len(self._tasks) >= MOST_CONNECTIONS:
            work = connection.refuse(503, f"server: {MOST_CONNECTIONS} connections are open already")
        else:
            work = connection.serve()
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        self.services.clients.come()
        task.add_done_callback(self._done)

    def end(self) -> None:
        """Have it end."""
        self._over.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection", exc_info=error)
        self.services.clients.go()

    def _check_idle(self) -> None:
        """Begin to wait for the end when nobody is there; whoever comes, a page too, puts it off."""
        if self.services.clients.number:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._idle_s and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._idle)

    def _idle(self) -> None:
        self._timer = None
        if self.services.execs.busy:
            self._check_idle()
        else:
            self._over.set()


def _peer_uid(sock: socket.socket) -> int:
    """Return the user of the process at the other end (unix(7) SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def serve(
    context: Context, path: Path, *, idle_s: float, ready: Callable[[], None], beside: Beside | None = None
) -> None:
    """Serve the API at `path`, which is removed at the end, or on the socket that systemd has given.

    `idle_s` seconds without a connection end it, 0 never. What is served `beside` it goes on until that ends, or ends
    it. Raises PycomposeError.
    """
    given = inherited(context.environment)
    with given or listening(path) as listener:
        asyncio.run(_run(context, listener, idle_s, ready, beside))


async def _run(
    context: Context, listener: socket.socket, idle_s: float, ready: Callable[[], None], beside: Beside | None
) -> None:
    server = ApiServer(context, idle_s=idle_s)
    other = asyncio.ensure_future(beside(server.services)) if beside else None
    if other is not None:
        other.add_done_callback(lambda _task: server.end())
    await server.serve(listener, SocketPolicy(), ready)
    if other is not None:
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other


def serve_given(context: Context, descriptor: int, access: SocketAccess) -> None:
    """Serve a socket that listens already, for one container; ends when nobody has come for a while."""
    listener = socket.socket(fileno=descriptor)

    async def run() -> None:
        server = ApiServer(context, idle_s=CONTAINER_IDLE_S)
        await server.serve(listener, SocketPolicy(access=access), lambda: None)

    asyncio.run(run())


def inherited(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the socket that systemd listens on for us (sd_listen_fds(3)), None without one. Raises PycomposeError."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise PycomposeError("LISTEN_FDS: one socket is served", hint="one ListenStream= in the .socket unit")
    return socket.socket(fileno=LISTEN_FDS_START)


def listen(path: Path) -> socket.socket:
    """Return a socket at `path` that nobody else can use, in the place of one that nobody listens on.

    Raises PycomposeError when somebody does, or something else is there.
    """
    if _answers(path):
        raise PycomposeError(
            f"{path}: somebody serves there already", hint="end it, or choose another --socket"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if not path.parent.is_dir():
            make_directory(path.parent)
        # Whoever waits for the path can connect as soon as it is there.
        unready = path.with_name(f".{os.getpid()}")
        unready.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            sock.bind(os.fspath(unready))
        finally:
            os.umask(mask)
        try:
            sock.listen(BACKLOG)
            if path.is_socket():
                path.unlink()
            path.hardlink_to(unready)
        finally:
            unready.unlink()
    except OSError as exc:
        sock.close()
        raise PycomposeError(f"{path}: cannot listen: {exc.strerror or exc}") from exc
    return sock


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Yield a socket as `listen` makes it, and remove it after the block. Raises PycomposeError."""
    with listen(path) as sock:
        identity = os.stat(path)
        try:
            yield sock
        finally:
            _remove(path, identity)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


def _remove(path: Path, identity: os.stat_result) -> None:
    """Remove our socket, not one that somebody else has put in its place."""
    with contextlib.suppress(OSError):
        now = os.stat(path)
        if (now.st_dev, now.st_ino) == (identity.st_dev, identity.st_ino):
            path.unlink()
