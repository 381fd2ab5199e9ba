"""The operations that connect a client to a process, or keep it waiting: exec, attach, run, wait, subscribe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.api import AttachedStreams
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import NoSuchContainer, PycomposeError
from pycompose.engine.state import Status
from pycompose.ipc.messages import (
    ChangeResult,
    ContainerMessage,
    ExecResult,
    ExitMessage,
    JoinedMessage,
    LeaveMessage,
    ResizeMessage,
    SessionResult,
    SignalMessage,
    StoppedContainer,
    StoppedMessage,
    SubscribedMessage,
)
from pycompose.ipc.requests import StartRequest
from pycompose.model import Condition
from pycompose.policy.observed import known_services
from pycompose.policy.plan import AwaitService, Node
from pycompose.supervisor.announcements import orphans_found
from pycompose.supervisor.handlers.project import ProjectHandlers, sink_of, tell_warnings
from pycompose.supervisor.lifecycle.exec import exec_process
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.ipc.messages import SessionMessage
    from pycompose.ipc.requests import (
        AttachRequest,
        ExecRequest,
        LaunchRequest,
        RejoinRequest,
        RunRequest,
        SubscribeRequest,
        WaitRequest,
    )
    from pycompose.ipc.server import Peer
    from pycompose.model import Dependency, Project
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.operations import Operations
    from pycompose.supervisor.project import ManagedProject

log = logging.getLogger(__name__)

UNHEARD_BYTES = 1 << 16


@dataclass(slots=True)
class SessionTarget:
    """A command or container that a client is connected to; `id` is what the keeper knows it by."""

    id: str
    container: bool
    pending: list[SessionMessage] = field(default_factory=list)


class SessionHandlers:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, managed: ManagedProject, handlers: ProjectHandlers) -> None:
        self._managed = managed
        self._handlers = handlers
        self._targets: dict[Peer, SessionTarget] = {}

    def during(self, peer: Peer, message: SessionMessage, fds: list[int]) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal, leave.

        Who leaves hands over the terminal, so that the command doesn't lose it (SIGHUP) but goes on unheard.
        """
        target = self._targets.get(peer)
        if target is None:
            return
        if isinstance(message, LeaveMessage):
            for fd in fds:
                self._drain_terminal(os.dup(fd))
            return
        if not target.id:
            target.pending.append(message)
            return
        self._managed.tasks.start(self._forward(target, message))

    def _drain_terminal(self, fd: int) -> None:
        """Read what comes from a terminal that nobody looks at any more, until its processes have ended (pty(7))."""
        loop = self._managed.loop

        def readable() -> None:
            try:
                more = os.read(fd, UNHEARD_BYTES)
            except OSError:
                more = b""
            if not more:
                loop.remove_reader(fd)
                os.close(fd)

        loop.add_reader(fd, readable)

    async def _forward(self, target: SessionTarget, message: SessionMessage) -> None:
        keeper = self._managed.runtime.keeper
        with contextlib.suppress(PycomposeError):
            match message:
                case ResizeMessage(resize=(rows, columns)):
                    await blocking(keeper.resize, target.id, rows, columns)
                case SignalMessage(signal=number):
                    send = keeper.signal if target.container else keeper.signal_exec
                    await blocking(send, target.id, number)

    async def exec(self, peer: Peer, request: ExecRequest, fds: list[int]) -> None:
        """Start a command in a running container; its exit code follows unless it is detached."""
        target = self._targets[peer] = SessionTarget(id="", container=False)
        try:
            tracked = self._managed.replica(request.service, request.index, request.id)
            process = exec_process(
                tracked.config,
                request.args,
                user=request.user,
                cwd=request.cwd,
                environment=request.env,
                privileged=request.privileged,
                tty=request.tty,
            )
            stdin, stdout, stderr = (fds.pop(0) if present else None for present in request.fds)
            try:
                started, ended = await self._managed.execs.start(
                    tracked.config.id, process, (stdin, stdout, stderr), (request.rows, request.columns)
                )
            finally:
                fds.extend(fd for fd in (stdin, stdout, stderr) if fd is not None)
            terminal = [] if started.terminal is None else [started.terminal]
            peer.answer(ExecResult(container=tracked.config.id, pid=started.pid), terminal)
            target.id = started.id
            for pending in target.pending:
                await self._forward(target, pending)
            if not request.detach:
                peer.send(ExitMessage(exit=await ended))
        finally:
            self._targets.pop(peer, None)

    async def attach(self, peer: Peer, request: AttachRequest, fds: list[int]) -> None:
        """Pass on the output of process 1 from now on, hand out its terminal or input, then its exit code."""
        if request.waits:
            await self._attach_early(peer, request, fds)
            return
        tracked = self._managed.replica(request.service, request.index, request.id)
        stdout, stderr = _outputs(request.fds, fds)
        try:
            keeper = self._managed.runtime.keeper
            attached = await blocking(keeper.attach, tracked.config.id, stdout=stdout, stderr=stderr)
            _close(fds)
            self._answer_session(peer, tracked, attached)
            await tracked.ended.wait()
            peer.send(ExitMessage(exit=tracked.exit_code))
        finally:
            self._targets.pop(peer, None)

    async def _attach_early(self, peer: Peer, request: AttachRequest, fds: list[int]) -> None:
        """Connect to a container before it is started, so that nothing of its output is missed."""
        tracked = self._managed.lifecycle.tracked.get(request.id)
        if tracked is None:
            raise NoSuchContainer(f"container {request.id[:12]}: has been removed meanwhile")
        await self._managed.keepers.ensure()
        begun, stdout, stderr = tracked.begun, *_outputs(request.fds, fds)
        keeper = self._managed.runtime.keeper
        await blocking(
            keeper.attach, tracked.config.id, stdout=stdout, stderr=stderr, patient=True, early=True
        )
        _close(fds)
        self._answer_session(peer, tracked, AttachedStreams())
        try:
            await begun.wait()
            attached = await self._attach_started(tracked) if request.stdin else AttachedStreams()
            ends = {"terminal": attached.terminal, "stdin": attached.stdin}
            names = tuple(name for name, fd in ends.items() if fd is not None)
            peer.send(JoinedMessage(joined=names), [fd for fd in ends.values() if fd is not None])
            await self._send_exit(peer, tracked)
        finally:
            self._targets.pop(peer, None)

    def _answer_session(self, peer: Peer, tracked: TrackedContainer, attached: AttachedStreams) -> None:
        ends = {"terminal": attached.terminal, "stdin": attached.stdin}
        result = SessionResult(
            container=tracked.config.id,
            name=tracked.name,
            tty=tracked.config.process.tty,
            streams=tuple(name for name, fd in ends.items() if fd is not None),
        )
        self._targets[peer] = SessionTarget(id=tracked.config.id, container=True)
        peer.answer(result, [fd for fd in ends.values() if fd is not None])

    async def run(self, peer: Peer, request: RunRequest, fds: list[int]) -> None:
        """Make and start a one-off container; stay connected to it unless it is detached."""
        sink = sink_of(peer)
        if request.warn_of_orphans and (found := self._orphans(request.project)):
            sink(orphans_found(found))
        operations = self._managed.operations(sink, request.project, request.images)
        await self._await_dependencies(operations, request.dependencies)
        tracked = await self._create(operations, request)
        attached = AttachedStreams()
        if not request.start:
            self._answer_session(peer, tracked, attached)
            self._targets.pop(peer, None)
            return
        try:
            keeper = self._managed.runtime.keeper
            if fds:
                stdout, stderr = _outputs(request.fds, fds)
                await blocking(
                    keeper.attach,
                    tracked.config.id,
                    stdout=stdout,
                    stderr=stderr,
                    patient=True,
                    early=True,
                    rows=request.rows,
                    columns=request.columns,
                )
                _close(fds)
            await self._managed.lifecycle.launch(tracked)
            tell_warnings(sink, tracked, tracked.warnings)
            hooks = self._managed.tasks.start(self._managed.lifecycle.accompany(tracked))
            if not request.detach:
                attached = await self._attach_started(tracked)
            elif failure := await hooks:
                raise failure
        except BaseException:
            if not tracked.active:
                self._managed.auto_remove.ended(tracked)
                await self._managed.auto_remove.wait(tracked.config.id)
            raise
        self._answer_session(peer, tracked, attached)
        if request.detach:
            self._targets.pop(peer, None)
            return
        await self._send_exit(peer, tracked, hooks)

    def _orphans(self, project: Project) -> list[str]:
        known = known_services(project)
        tracked = self._managed.lifecycle.tracked.values()
        return sorted(t.name for t in tracked if t.service not in known and not t.record.oneoff)

    async def launch(self, peer: Peer, request: LaunchRequest, fds: list[int]) -> None:
        """Start a container that exists, unless it runs, and stay connected to it (`container start --attach`)."""
        container_id = request.id
        async with self._managed.exclusive(interruptible=True):
            await self._managed.keepers.ensure()
            tracked = self._managed.lifecycle.tracked.get(container_id)
            if tracked is None:
                raise NoSuchContainer(f"container {container_id[:12]}: has been removed meanwhile")
            stdout, stderr = _outputs(request.fds, fds)
            runs = tracked.status in (Status.RUNNING, Status.PAUSED)
            attached = await blocking(
                self._managed.runtime.keeper.attach,
                container_id,
                stdout=stdout,
                stderr=stderr,
                patient=not runs,
                early=not runs,
                rows=request.rows,
                columns=request.columns,
            )
            _close(fds)
            if not runs:
                await self._handlers.start_chosen(sink_of(peer), StartRequest(ids=(request.id,)))
                attached = (
                    await self._attach_started(tracked, alone=tracked.record.oneoff)
                    if request.stdin
                    else attached
                )
        self._answer_session(peer, tracked, attached)
        await self._send_exit(peer, tracked)

    async def _await_dependencies(self, operations: Operations, dependencies: Iterable[Dependency]) -> None:
        """Wait for what the service depends on; raises DependencyFailed."""
        never = asyncio.Event()
        nodes = [
            Node(
                number=number,
                operation=AwaitService(
                    service=needed.service,
                    condition=needed.condition,
                    required=needed.required,
                    containers=tuple(t.name for t in operations.lifecycle.of_service(needed.service)),
                ),
                cause="run",
            )
            for number, needed in enumerate(dependencies, 1)
            if needed.condition is not Condition.STARTED
        ]
        await asyncio.gather(*(operations.perform(node, never) for node in nodes))

    async def _create(self, operations: Operations, request: RunRequest) -> TrackedContainer:
        project = request.project
        service = project.services[request.service]
        async with self._managed.exclusive():
            await self._managed.keepers.ensure()
            await operations.ensure_places(service)
            return await operations.create_oneoff(
                service, name=request.name, auto_remove=request.remove, publish=True
            )

    async def _attach_started(self, tracked: TrackedContainer, *, alone: bool = True) -> AttachedStreams:
        """Return the input and the terminal of a container that has started; nothing if it has ended already.

        `alone` makes the input the client's: it ends when the client closes it, or dies.
        """
        keeper = self._managed.runtime.keeper
        found = [AttachedStreams()]

        def work() -> None:
            with contextlib.suppress(NoSuchContainer):
                found.append(keeper.attach(tracked.config.id))
                if alone and found[-1].stdin is not None:
                    keeper.close_stdin(tracked.config.id)

        try:
            await blocking(work)
        except BaseException:
            # The client has gone meanwhile: a copy that stayed here would keep the input open.
            _close([fd for fd in (found[-1].stdin, found[-1].terminal) if fd is not None])
            raise
        return found[-1]

    async def _send_exit(
        self, peer: Peer, tracked: TrackedContainer, hooks: asyncio.Task[PycomposeError | None] | None = None
    ) -> None:
        """Tell the exit code, after the removal of a container that isn't kept.

        What went wrong with its hooks is told of a command that has nothing to say itself.
        """
        try:
            await tracked.ended.wait()
            failure = await asyncio.shield(hooks) if hooks is not None else None
            await self._managed.auto_remove.wait(tracked.config.id)
            if failure is not None and not tracked.exit_code:
                peer.fail(failure)
            else:
                peer.send(ExitMessage(exit=tracked.exit_code))
        finally:
            self._targets.pop(peer, None)

    async def rejoin(self, peer: Peer, request: RejoinRequest, _: list[int]) -> None:
        """Go on waiting for a container where an earlier supervisor has died; its output never stopped."""
        container_id = request.container
        tracked = self._managed.lifecycle.tracked.get(container_id)
        if tracked is None:
            raise NoSuchContainer(f"container {container_id[:12]}: ended, and was removed, meanwhile")
        self._targets[peer] = SessionTarget(id=container_id, container=True)
        await self._send_exit(peer, tracked)

    async def wait(self, peer: Peer, request: WaitRequest, _: list[int]) -> None:
        """Tell each running container of the services as it stops; without a running one, all that have stopped."""
        chosen = self._managed.chosen(request.services, request.ids)
        chosen = [tracked for tracked in chosen if tracked.active] or chosen
        if request.services and not chosen:
            raise NoSuchContainer(
                f"service {request.services[0]}: no container exists", hint="see `pycompose ps -a`"
            )

        async def one(tracked: TrackedContainer) -> None:
            await tracked.ended.wait()
            stopped = StoppedContainer(
                id=tracked.config.id, name=tracked.name, service=tracked.service, code=tracked.exit_code
            )
            peer.send(StoppedMessage(waited=stopped))

        await asyncio.gather(*(one(tracked) for tracked in chosen))
        peer.answer(ChangeResult())

    async def subscribe(self, peer: Peer, request: SubscribeRequest, _: list[int]) -> None:
        """Send every container event until the client goes away, first those that it has missed since `since_ns`."""
        events = self._managed.events
        events.subscribers.add(peer)
        if request.background:
            events.background.add(peer)
            self._managed.tasks.rest()
        active = {t.config.id: t.expected for t in self._managed.lifecycle.tracked.values()}
        peer.send(SubscribedMessage(subscribed=active, time_ns=time.time_ns()))
        for event in events.since(request.since_ns) if request.since_ns else ():
            peer.send(ContainerMessage(container=event))
        await asyncio.Event().wait()


def _outputs(present: Iterable[bool], fds: list[int]) -> tuple[int | None, int | None]:
    """Return the client's ends for stdout and stderr, as far as they came with a message."""
    waiting = iter(fds)
    _, stdout, stderr = (next(waiting) if there else None for there in present)
    return stdout, stderr


def _close(fds: list[int]) -> None:
    """Close what has been handed on, so that only the receiver keeps the other side waiting."""
    while fds:
        os.close(fds.pop())
