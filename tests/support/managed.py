"""A project under the supervisor's modules, in this process: real files and handlers, on MemoryEngine."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import socket
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import ContainerConfig, Namespaces, Process, RootfsTree
from pycompose.engine.paths import StatePaths
from pycompose.engine.statedirs import IN_ROOT, IN_RUN
from pycompose.engine.statefiles import write_json
from pycompose.ipc.messages import ErrorMessage, ProgressMessage, ResultMessage, supervisor_message
from pycompose.ipc.protocol import receive
from pycompose.ipc.server import Peer
from pycompose.labels import DEPENDS_ON, NUMBER, ONEOFF, SERVICE
from pycompose.model import Service
from pycompose.state.records import ServiceRecord, write_service
from pycompose.supervisor.dispatch import Dispatcher
from pycompose.supervisor.project import ManagedProject

from tests.support.memory_engine import MemoryEngine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from pycompose.ipc.messages import SupervisorMessage
    from pycompose.ipc.requests import SupervisorRequest
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer

PATIENCE_S = 10.0
PROJECT = "demo"


class Client:
    """A connection to the supervisor, from the client's side: what has been asked, and what comes back."""

    def __init__(self, bench: Bench, request: SupervisorRequest[Any], fds: Sequence[int] = ()) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        loop = bench.managed.loop
        self.peer = Peer(theirs, loop, lambda *_: None, self._closed)
        bench.clients.append(self)
        message = json.loads(json.dumps(request.to_message()))
        self.task = loop.create_task(bench.dispatcher.handle(self.peer, message, list(fds)))

    def _closed(self, _peer: Peer) -> None:
        self.task.cancel()

    def messages(self) -> list[SupervisorMessage]:
        """Return what has come since the last call."""
        found = []
        while True:
            try:
                message, _ = receive(self._socket)
            except BlockingIOError:
                return found
            if message is None:
                return found
            found.append(supervisor_message(message))

    async def next(self) -> SupervisorMessage:
        """Return the next message when it comes."""
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, readable.set)
        try:
            await asyncio.wait_for(readable.wait(), PATIENCE_S)
        finally:
            loop.remove_reader(self._socket)
        message, _ = receive(self._socket)
        assert message is not None, "the supervisor has hung up"
        return supervisor_message(message)

    def hang_up(self) -> None:
        """Go away, as a client that is killed."""
        self._socket.close()

    async def close(self) -> None:
        """End what is under way, and both ends of the connection."""
        self.task.cancel()
        await asyncio.wait([self.task])
        self.peer.close()
        self._socket.close()


class _Listener:
    """A subscriber in this process."""

    def __init__(self, told: asyncio.Event) -> None:
        self._told = told

    def send(self, _message: SupervisorMessage) -> None:
        """Wake who waits."""
        self._told.set()


class Bench:
    """The project, its engine, and what a test does with them."""

    def __init__(self, folder: Path) -> None:
        self.paths = StatePaths(root=folder / "root", run=folder / "run")
        for directory in (
            *(self.paths.root / name for name in IN_ROOT),
            *(self.paths.run / name for name in IN_RUN),
            self.paths.project_claims(PROJECT),
            self.paths.project(PROJECT),
        ):
            directory.mkdir(parents=True, exist_ok=True)
        self.managed = ManagedProject(self.paths, PROJECT, lambda: None)
        self.dispatcher = Dispatcher(self.managed)
        self.engine = MemoryEngine(self.paths, self.managed.engine_event)
        self.managed.runtime.keeper = self.engine
        self.clients: list[Client] = []
        self._numbers = itertools.count(1)
        self._told = asyncio.Event()
        self.managed.events.subscribers.add(_Listener(self._told))  # type: ignore[arg-type]

    def make(
        self, name: str, *, number: int = 1, record: dict[str, Any] | None = None, **service: Any
    ) -> str:
        """Write the files of a container of a service that was never started, return its id; nobody knows of it yet."""
        container_id = f"{next(self._numbers):064x}"
        made = ServiceRecord(
            service=Service(name=name, network_mode="host", **service), number=number, **record or {}
        )
        config = ContainerConfig(
            id=container_id,
            name=f"{PROJECT}-{name}-{number}",
            project=PROJECT,
            image="busybox",
            rootfs=(RootfsTree(lowers=("/nowhere",)),),
            process=Process(args=("sleep", "1000")),
            # With a namespace of its own, process 1 would be ours, who handles no SIGTERM.
            namespaces=Namespaces(network="host", pid="host"),
            stop_grace_s=0.2,
            labels={
                SERVICE: name,
                NUMBER: str(number),
                ONEOFF: str(made.oneoff),
                DEPENDS_ON: ",".join(
                    f"{d.service}:{d.condition.value}:false" for d in made.service.depends_on
                ),
            },
        )
        self.paths.container(container_id).mkdir()
        write_json(self.paths.container(container_id) / "config.json", config.to_json(), durable=False)
        write_service(self.paths, container_id, made)
        (self.paths.project_claims(PROJECT) / container_id).write_text(f"{container_id} {config.name}")
        return container_id

    async def add(self, name: str, **fields: Any) -> TrackedContainer:
        """Make a container and have it tracked."""
        container_id = self.make(name, **fields)
        await self.managed.sync()
        return self.managed.lifecycle.tracked[container_id]

    async def started(self, name: str, **fields: Any) -> TrackedContainer:
        """Make a container and start it."""
        tracked = await self.add(name, **fields)
        await self.managed.lifecycle.start(tracked)
        return tracked

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until `done()`, which is asked after every change of a container."""
        async with asyncio.timeout(PATIENCE_S):
            await self.managed.lifecycle.conditions.wait_until(done, asyncio.Event())

    async def ask(self, request: SupervisorRequest[Any]) -> tuple[Any, list[str]]:
        """Have a request carried out; return its result, and what was told on the way ("Container x Started")."""
        client = Client(self, request)
        await asyncio.wait_for(client.task, PATIENCE_S)
        told: list[str] = []
        result = None
        for message in client.messages():
            assert not isinstance(message, ErrorMessage)
            if isinstance(message, ProgressMessage):
                told.append(f"{message.event.subject} {message.event.text}")
            elif isinstance(message, ResultMessage):
                result = message.result
        return result, told

    async def happened(self, tracked: TrackedContainer, action: str) -> None:
        """Wait until an event of a container is told; one that was told already counts."""
        async with asyncio.timeout(PATIENCE_S):
            while action not in self.actions(tracked):
                self._told.clear()
                await self._told.wait()

    def actions(self, tracked: TrackedContainer) -> list[str]:
        """Return what has happened to a container, in Docker's words."""
        return [e.action for e in self.managed.events.since(0) if e.id == tracked.config.id]

    async def close(self) -> None:
        """End what is under way."""
        for client in self.clients:
            await client.close()
        await self.managed.tasks.cancel()
        self.managed.wiring.close()


def in_a_project(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test of an `async def` that gets a project of its own, and whatever parameters it has besides."""

    def test(tmp_path: Path, **parameters: Any) -> None:
        async def play() -> None:
            bench = Bench(tmp_path)
            try:
                await story(bench, **parameters)
            finally:
                await bench.close()

        asyncio.run(play())

    functools.update_wrapper(test, story)
    _, *others = signature(story).parameters.values()
    # Where pytest looks for arguments.
    test.__signature__ = Signature([*signature(test, follow_wrapped=False).parameters.values()][:1] + others)  # type: ignore[attr-defined]
    return test
