"""The operations that connect a client to a process, or keep it waiting: exec, attach, run, wait, subscribe."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pycompose.blocking import blocking
from pycompose.changes import sink_of
from pycompose.engine.config import from_json
from pycompose.engine.errors import PycomposeError
from pycompose.engine.images.spec import Image
from pycompose.execs import exec_process
from pycompose.model import Project

if TYPE_CHECKING:
    from pycompose.control import Message, Peer
    from pycompose.lifecycle import Tracked
    from pycompose.operations import Operations
    from pycompose.requests import Requests


@dataclass(slots=True)
class Session:
    """A command or container that a client is connected to; `id` is what the keeper knows it by."""

    id: str
    container: bool
    pending: list[Message] = field(default_factory=list)


class Interactive:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._supervisor = requests.supervisor
        self._sessions: dict[Peer, Session] = {}

    def during(self, peer: Peer, message: Message) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal."""
        session = self._sessions.get(peer)
        if session is None:
            return
        if not session.id:
            session.pending.append(message)
            return
        self._requests.background(self._forward(session, message))

    async def _forward(self, session: Session, message: Message) -> None:
        keeper = self._supervisor.runtime.keeper
        with contextlib.suppress(PycomposeError):
            if "resize" in message:
                rows, columns = message["resize"]
                await blocking(keeper.resize, session.id, int(rows), int(columns))
            elif "signal" in message:
                send = keeper.signal if session.container else keeper.signal_exec
                await blocking(send, session.id, int(message["signal"]))

    async def exec(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Start a command in a running container; its exit code follows unless it is detached."""
        supervisor = self._supervisor
        session = self._sessions[peer] = Session(id="", container=False)
        try:
            tracked = self._requests.replica(
                str(message["service"]), int(message["index"]), str(message.get("id", ""))
            )
            process = exec_process(
                tracked.config,
                message["args"],
                user=message["user"],
                cwd=message["cwd"],
                environment=message["env"],
                privileged=message["privileged"],
                tty=message["tty"],
            )
            stdin, stdout, stderr = (fds.pop(0) if present else None for present in message["fds"])
            try:
                started, ended = await supervisor.execs.start(
                    tracked.config.id, process, (stdin, stdout, stderr), (message["rows"], message["columns"])
                )
            finally:
                fds.extend(fd for fd in (stdin, stdout, stderr) if fd is not None)
            terminal = [] if started.terminal is None else [started.terminal]
            peer.send({"result": {"container": tracked.config.id, "pid": started.pid}}, terminal)
            session.id = started.id
            for pending in session.pending:
                await self._forward(session, pending)
            if not message["detach"]:
                peer.send({"exit": await ended})
        finally:
            self._sessions.pop(peer, None)

    async def attach(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Hand out the terminal or the standard input of process 1, then its exit code."""
        tracked = self._requests.replica(str(message["service"]), int(message["index"]))
        try:
            await self._attached(peer, tracked)
            await tracked.ended.wait()
            peer.send({"exit": tracked.exit_code})
        finally:
            self._sessions.pop(peer, None)

    async def _attached(self, peer: Peer, tracked: Tracked) -> None:
        attached = await blocking(self._supervisor.runtime.keeper.attach, tracked.config.id)
        handed = [fd for fd in (attached.terminal, attached.stdin) if fd is not None]
        result = {
            "container": tracked.config.id,
            "name": tracked.name,
            "terminal": attached.terminal is not None,
            "stdin": attached.stdin is not None,
        }
        self._sessions[peer] = Session(id=tracked.config.id, container=True)
        peer.send({"result": result}, handed)

    async def run(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Make and start a one-off container; stay connected to it unless it is detached."""
        supervisor = self._supervisor
        project = from_json(Project, message["project"])
        service = project.services[str(message["service"])]
        images = {key: from_json(Image, value) for key, value in message["images"].items()}
        operations = self._requests.operations(sink_of(peer), project, images)
        async with self._requests.exclusive():
            await supervisor.need_keeper()
            for network in service.networks:
                await blocking(supervisor.wiring.ensure_network, project.networks[network.network])
            tracked = await operations.create_oneoff(
                service,
                name=str(message["name"]),
                auto_remove=bool(message["remove"]),
                publish=bool(message["publish"]),
            )
        try:
            await supervisor.lifecycle.start(tracked)
        except PycomposeError:
            await operations.remove(tracked.config.id, volumes=True)
            raise
        if message["detach"]:
            peer.send(
                {
                    "result": {
                        "container": tracked.config.id,
                        "name": tracked.name,
                        "terminal": False,
                        "stdin": False,
                    }
                }
            )
            return
        try:
            await self._attached(peer, tracked)
            await tracked.ended.wait()
            peer.send({"exit": tracked.exit_code})
        finally:
            self._sessions.pop(peer, None)
            if tracked.record.auto_remove:
                self._requests.background(self._remove_oneoff(operations, tracked))

    async def _remove_oneoff(self, operations: Operations, tracked: Tracked) -> None:
        await self._supervisor.lifecycle.stop(tracked, 0)
        await operations.remove(tracked.config.id, volumes=True)

    async def wait(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Tell each container of the services as it stops."""
        chosen = self._requests.chosen(message["services"])

        async def one(tracked: Tracked) -> None:
            await tracked.ended.wait()
            peer.send(
                {
                    "waited": {
                        "id": tracked.config.id,
                        "name": tracked.name,
                        "service": tracked.service,
                        "code": tracked.exit_code,
                    }
                }
            )

        await asyncio.gather(*(one(tracked) for tracked in chosen))
        peer.send({"result": {}})

    async def subscribe(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Send every container event until the client goes away, first those that it has missed since `since_ns`."""
        self._supervisor.subscribers.add(peer)
        active = {t.config.id: t.active for t in self._supervisor.lifecycle.tracked.values()}
        peer.send({"subscribed": active})
        since_ns = message.get("since_ns")
        for event in self._requests.recent if since_ns else ():
            if event["time_ns"] >= since_ns:
                peer.send({"container": event})
        await asyncio.Event().wait()
