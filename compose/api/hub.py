"""One subscription per project to what happens to containers, and to the machine's journal, for however many clients.

Nobody is subscribed to while no client listens. The subscriptions are in the background: a supervisor ends as if they
weren't there, and the next one is found by its socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from pycompose.api.discovery import JournalWatch, SupervisorWatch
from pycompose.engine.errors import PycomposeError
from pycompose.ipc.messages import ContainerMessage, supervisor_message
from pycompose.ipc.protocol import receive, send, short_path
from pycompose.ipc.requests import SubscribeRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycompose.client.context import Context
    from pycompose.engine.journal import ResourceEvent
    from pycompose.events import ContainerEvent

    Happening = ContainerEvent | ResourceEvent

# A supervisor that has made its socket listens to it at once.
LISTENS_S = 2.0
PAUSE_S = 0.002
# What a client that doesn't read may have waiting; who has more misses the oldest.
MOST_WAITING = 10_000


class EventHub:
    """Connects to supervisors while somebody listens; lives in the event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listeners: dict[asyncio.Queue[Happening], str] = {}
        self._sockets: dict[str, socket.socket] = {}
        self._watch: SupervisorWatch | None = None
        self._journal: JournalWatch | None = None
        self._since: dict[str, int] = {}
        self._began_ns = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listen(self, project: str = "") -> AsyncIterator[asyncio.Queue[Happening]]:
        """Yield a queue of all that happens from now on, or only what happens to a project's containers."""
        queue: asyncio.Queue[Happening] = asyncio.Queue(MOST_WAITING)
        self._listeners[queue] = project
        try:
            if self._watch is None:
                await self._begin()
            yield queue
        finally:
            del self._listeners[queue]
            if not self._listeners:
                self.close()

    def close(self) -> None:
        """Let go of the supervisors."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets.values():
            loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._since.clear()
        for watch in (self._watch, self._journal):
            if watch is not None:
                loop.remove_reader(watch.fileno())
                watch.close()
        self._watch = self._journal = None

    async def _begin(self) -> None:
        self._began_ns = time.time_ns()
        self._watch = SupervisorWatch(self._context.paths)
        self._journal = JournalWatch(self._context.paths)
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._found)
        asyncio.get_running_loop().add_reader(self._journal.fileno(), self._written)
        await asyncio.gather(*(self._connect(name, patient=False) for name in self._watch.all()))

    def _found(self) -> None:
        if self._watch is None:
            return
        for name in self._watch.read():
            if name not in self._sockets:
                task = asyncio.ensure_future(self._connect(name, patient=True))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _written(self) -> None:
        if self._journal is not None:
            for event in self._journal.read():
                self._tell(event, "")

    def _tell(self, event: Happening, project: str) -> None:
        for queue, wanted in self._listeners.items():
            if wanted not in ("", project):
                continue
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def _connect(self, project: str, *, patient: bool) -> None:
        """Subscribe to a project's supervisor, if there is one or (for the patient) soon will be."""
        deadline = time.monotonic() + LISTENS_S
        while self._watch is not None and project not in self._sockets:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
            sock.setblocking(False)
            try:
                with short_path(self._context.paths.control_socket(project)) as name:
                    sock.connect(name)
                since_ns = self._since.get(project, self._began_ns)
                send(sock, SubscribeRequest(since_ns=since_ns, background=True).to_message())
            except OSError:
                sock.close()
                if not patient or time.monotonic() > deadline:
                    return
                await asyncio.sleep(PAUSE_S)
                continue
            self._sockets[project] = sock
            asyncio.get_running_loop().add_reader(sock, self._readable, project, sock)

    def _readable(self, project: str, sock: socket.socket) -> None:
        try:
            message, _ = receive(sock)
            told = supervisor_message(message) if message is not None else None
        except BlockingIOError:
            return
        except (OSError, PycomposeError):
            told = None
        if told is None:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
            if self._sockets.get(project) is sock:
                del self._sockets[project]
        elif isinstance(told, ContainerMessage):
            event = told.container
            if event.time_ns < self._since.get(project, 0):
                return
            self._since[project] = event.time_ns + 1
            self._tell(event, project)
