"""What clients of the control socket can ask for; one method per operation, serialised where they change something.

`down`, `stop`, `kill` and `rm` don't queue behind an `up` that waits for something: they interrupt it first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pycompose.assemble import signal_number
from pycompose.blocking import blocking
from pycompose.engine.config import from_json
from pycompose.engine.errors import NoSuchContainer, PycomposeError, StateError
from pycompose.engine.images.store import Image
from pycompose.engine.state import Status
from pycompose.engine.store import write_json
from pycompose.events import Event, Phase
from pycompose.execs import exec_process
from pycompose.execute import execute
from pycompose.model import Project
from pycompose.observe import Observed, observe_containers
from pycompose.operations import Operations
from pycompose.plan import AwaitService, Plan, StartContainer
from pycompose.reconcile import ReconcileOptions, Recreate, down_plan, orphans, reconcile, stop_plan
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable

    from pycompose.control import Message, Peer
    from pycompose.events import Sink
    from pycompose.lifecycle import Tracked
    from pycompose.observe import ObservedContainer
    from pycompose.supervisor import Supervisor

JOURNAL_BYTES = 1024 * 1024


@dataclass(slots=True)
class Session:
    """A command or container that a client is connected to; `id` is what the keeper knows it by."""

    id: str
    container: bool
    pending: list[Message] = field(default_factory=list)


class Requests:
    """The operations of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._lock = asyncio.Lock()
        self._interruptible: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: dict[Peer, Session] = {}
        self._handlers = {
            "apply": self._apply,
            "down": self._down,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "kill": self._kill,
            "rm": self._rm,
            "pause": self._pause,
            "exec": self._exec,
            "attach": self._attach,
            "run": self._run,
            "wait": self._wait,
            "subscribe": self._subscribe,
        }

    # ------------------------------------------------------------------ being asked

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return bool(self._tasks)

    @property
    def others_busy(self) -> bool:
        """Whether an operation other than the calling one is under way."""
        return any(task is not asyncio.current_task() for task in self._tasks if not task.done())

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task that keeps the supervisor alive."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._supervisor.check_idle()

        task.add_done_callback(done)
        return task

    async def handle(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Perform the operation of `message`; raises PycomposeError."""
        handler = self._handlers.get(str(message["op"]))
        if handler is None:
            raise StateError(f"control socket: unknown operation {message['op']!r}")
        await handler(peer, message, fds)

    def during(self, peer: Peer, message: Message) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal."""
        session = self._sessions.get(peer)
        if session is None:
            return
        if not session.id:
            session.pending.append(message)
            return
        self.background(self._forward(session, message))

    async def _forward(self, session: Session, message: Message) -> None:
        keeper = self._supervisor.runtime.keeper
        with contextlib.suppress(PycomposeError):
            if "resize" in message:
                rows, columns = message["resize"]
                await blocking(keeper.resize, session.id, int(rows), int(columns))
            elif "signal" in message:
                send = keeper.signal if session.container else keeper.signal_exec
                await blocking(send, session.id, int(message["signal"]))

    def journal(self, event: dict[str, Any]) -> None:
        """Append an event to the project's journal, which `events --since` reads."""
        path = self._supervisor.paths.project(self._supervisor.project) / "events.jsonl"
        with contextlib.suppress(OSError):
            if path.exists() and path.stat().st_size > JOURNAL_BYTES:
                path.replace(path.with_suffix(".1"))
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event, separators=(",", ":")) + "\n")

    # ------------------------------------------------------------------ changing

    @contextlib.asynccontextmanager
    async def _exclusive(
        self, *, interrupts: bool = False, interruptible: bool = False
    ) -> AsyncIterator[None]:
        """Hold the project for the block. Cancels a holder that only builds up when this one takes down."""
        if interrupts and self._interruptible is not None:
            self._interruptible.cancel()
        async with self._lock:
            await self._supervisor.sync()
            if interruptible:
                self._interruptible = asyncio.current_task()
            try:
                yield
            finally:
                self._interruptible = None

    async def _observe(self) -> Observed:
        supervisor = self._supervisor
        containers, broken = await blocking(observe_containers, supervisor.paths, supervisor.project)
        volumes = {volume.name for volume in await blocking(VolumeStore(supervisor.paths).all)}
        return Observed(
            project=supervisor.project,
            containers=tuple(containers),
            networks=frozenset(await blocking(supervisor.wiring.network_names)),
            volumes=frozenset(volumes),
            broken=tuple(broken),
        )

    def _operations(
        self, sink: Sink, project: Project | None = None, images: dict[str, Image] | None = None
    ) -> Operations:
        supervisor = self._supervisor
        return Operations(
            runtime=supervisor.runtime,
            wiring=supervisor.wiring,
            lifecycle=supervisor.lifecycle,
            sink=sink,
            project=project,
            images=images or {},
        )

    async def _apply(self, peer: Peer, message: Message, _: list[int]) -> None:
        """`up`, `create`, `scale`: make the project what it says."""
        project = from_json(Project, message["project"])
        images = {key: from_json(Image, value) for key, value in message["images"].items()}
        sink = _sink(peer)
        async with self._exclusive(interruptible=True):
            await blocking(self._remember, project)
            observed = await self._observe()
            options = _reconcile_options(message, images)
            if not message.get("ignore_orphans") and not options.remove_orphans:
                _warn_about_orphans(sink, project, observed)
            plan = reconcile(project, observed, options)
            if message.get("dry_run"):
                peer.send({"result": {"plan": str(plan)}})
                return
            _tell_running(sink, plan, observed, options)
            operations = self._operations(sink, project, images)
            await execute(plan, operations.perform, parallel=message.get("parallel"))
        if message.get("wait"):
            await self._wait_ready(sink, options.services, message.get("wait_timeout_s"))
        peer.send({"result": {}})

    def _remember(self, project: Project) -> None:
        supervisor = self._supervisor
        directory = supervisor.paths.project(project.name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        value = {"directory": project.directory, "files": list(project.files), "name": project.name}
        write_json(directory / "project.json", value, durable=False)

    async def _wait_ready(self, sink: Sink, services: Iterable[str], timeout_s: float | None) -> None:
        lifecycle = self._supervisor.lifecycle
        waited = [t for service in services for t in lifecycle.of_service(service)]
        for tracked in waited:
            sink(Event(subject=f"Container {tracked.name}", text="Waiting", phase=Phase.WORKING))
        never = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await lifecycle.wait_until(lambda: all([lifecycle.ready(t) for t in waited]), never)
        except TimeoutError:
            late = ", ".join(t.name for t in waited if t.status is not Status.EXITED)
            raise StateError(
                f"application not healthy after {timeout_s:g}s", hint=f"still waiting for: {late}"
            ) from None
        for tracked in waited:
            text = "Healthy" if tracked.record.health or tracked.status is Status.RUNNING else "Exited"
            sink(Event(subject=f"Container {tracked.name}", text=text, phase=Phase.DONE))

    async def _down(self, peer: Peer, message: Message, _: list[int]) -> None:
        supervisor = self._supervisor
        project = from_json(Project, message["project"]) if message.get("project") else None
        sink = _sink(peer)
        async with self._exclusive(interrupts=True):
            observed = await self._observe()
            chosen = _selected(observed, message["services"], oneoff=True)
            if project is not None and not message.get("remove_orphans") and not message["services"]:
                # Orphans of an earlier compose file stay unless they are asked for, as in Compose.
                gone = {container.id for container in orphans(project, observed)}
                chosen = [container for container in chosen if container.id not in gone]
            networks = [] if message["services"] else await blocking(self._networks_of, project)
            volumes = await blocking(self._volumes_of, project) if message.get("volumes") else []
            plan = down_plan(
                observed,
                containers=chosen,
                networks=networks,
                volumes=volumes,
                timeout_s=message.get("timeout_s"),
                anonymous_volumes=True,
            )
            if message.get("dry_run"):
                peer.send({"result": {"plan": str(plan)}})
                return
            await execute(plan, self._operations(sink, project).perform, parallel=message.get("parallel"))
            nothing_left = not supervisor.lifecycle.tracked
            if nothing_left:
                await blocking(supervisor.wiring.remove_all)
        peer.send({"result": {"nothing": not plan, "ends": supervisor.finish_after_down()}})

    def _networks_of(self, project: Project | None) -> list[str]:
        names = list(self._supervisor.wiring.own_networks())
        if project is not None:
            external = {network.name for network in project.networks.values() if network.external}
            names = [name for name in names if name not in external]
        return names

    def _volumes_of(self, project: Project | None) -> list[str]:
        store = VolumeStore(self._supervisor.paths)
        names = [volume.name for volume in store.of_project(self._supervisor.project)]
        if project is not None:
            external = {volume.name for volume in project.volumes.values() if volume.external}
            names = [name for name in names if name not in external]
        return names

    async def _start(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Start what exists, dependencies first."""
        sink = _sink(peer)
        async with self._exclusive(interruptible=True):
            observed = await self._observe()
            chosen = _selected(observed, message["services"], oneoff=False)
            plan = self._start_plan([container for container in chosen if not container.running])
            if not chosen and message["services"]:
                raise NoSuchContainer(f"service {message['services'][0]} has no container to start")
            await execute(plan, self._operations(sink).perform, parallel=message.get("parallel"))
        if message.get("wait"):
            services = dict.fromkeys(container.service for container in chosen)
            await self._wait_ready(sink, services, message.get("wait_timeout_s"))
        peer.send({"result": {}})

    def _start_plan(self, containers: Iterable[ObservedContainer]) -> Plan:
        """Return the plan that starts existing containers, each after the conditions of its record."""
        tracked = self._supervisor.lifecycle.tracked
        plan = Plan()
        starts: dict[str, list[int]] = {}
        for container in reversed(_stop_order(containers)):
            after: list[int] = []
            for dependency in tracked[container.id].record.service.depends_on:
                if not self._supervisor.lifecycle.of_service(dependency.service):
                    continue
                operation = AwaitService(
                    service=dependency.service, condition=dependency.condition, required=dependency.required
                )
                after.append(plan.add(operation, "a dependant needs it", *starts.get(dependency.service, [])))
            start = StartContainer(
                service=container.service, number=container.number, name=container.name, id=container.id
            )
            number = plan.add(start, container.state.status.value, *after)
            starts.setdefault(container.service, []).append(number)
        return plan

    async def _stop(self, peer: Peer, message: Message, _: list[int]) -> None:
        async with self._exclusive(interrupts=True):
            chosen = _selected(await self._observe(), message["services"], oneoff=False)
            plan = stop_plan(chosen, timeout_s=message.get("timeout_s"))
            await execute(plan, self._operations(_sink(peer)).perform, parallel=message.get("parallel"))
        peer.send({"result": {}})

    async def _restart(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Stop in reverse order, start in order; dependants that declared `restart: true` too."""
        sink = _sink(peer)
        async with self._exclusive(interrupts=True):
            observed = await self._observe()
            chosen = _selected(observed, message["services"], oneoff=False)
            if not message.get("no_deps"):
                chosen = self._with_restarting_dependants(observed, chosen)
            await execute(
                stop_plan(chosen, timeout_s=message.get("timeout_s")), self._operations(_quiet(sink)).perform
            )
            for container in chosen:
                sink(Event(subject=f"Container {container.name}", text="Restarting", phase=Phase.WORKING))
            await execute(self._start_plan(chosen), self._operations(_quiet(sink)).perform)
            for container in chosen:
                sink(Event(subject=f"Container {container.name}", text="Started", phase=Phase.DONE))
        peer.send({"result": {}})

    def _with_restarting_dependants(
        self, observed: Observed, chosen: list[ObservedContainer]
    ) -> list[ObservedContainer]:
        tracked = self._supervisor.lifecycle.tracked
        services = {container.service for container in chosen}
        grown = True
        while grown:
            grown = False
            for container in observed.containers:
                wants = tracked[container.id].record.service.depends_on if container.id in tracked else ()
                if (
                    container.running
                    and container.service not in services
                    and any(dependency.restart and dependency.service in services for dependency in wants)
                ):
                    services.add(container.service)
                    grown = True
        return [
            c
            for c in observed.containers
            if c.service in services and not c.oneoff and (c in chosen or c.running)
        ]

    async def _kill(self, peer: Peer, message: Message, _: list[int]) -> None:
        number = signal_number(str(message["signal"]))
        sink = _sink(peer)
        async with self._exclusive(interrupts=True):
            chosen = _selected(await self._observe(), message["services"], oneoff=False)
            running = [container for container in chosen if container.running]

            async def kill(container: ObservedContainer) -> None:
                tracked = self._supervisor.lifecycle.tracked[container.id]
                sink(Event(subject=f"Container {container.name}", text="Killing", phase=Phase.WORKING))
                await self._supervisor.lifecycle.signal(tracked, number)
                sink(Event(subject=f"Container {container.name}", text="Killed", phase=Phase.DONE))

            await _all(kill(container) for container in running)
        peer.send({"result": {"nothing": not running}})

    async def _rm(self, peer: Peer, message: Message, _: list[int]) -> None:
        async with self._exclusive(interrupts=bool(message.get("stop"))):
            chosen = _selected(await self._observe(), message["services"], oneoff=True)
            if not message.get("stop"):
                chosen = [container for container in chosen if not container.running]
            plan = stop_plan(
                chosen, timeout_s=message.get("timeout_s"), remove=True, volumes=bool(message.get("volumes"))
            )
            await execute(plan, self._operations(_sink(peer)).perform)
        peer.send({"result": {"nothing": not chosen}})

    async def _pause(self, peer: Peer, message: Message, _: list[int]) -> None:
        lifecycle = self._supervisor.lifecycle
        pause = bool(message["pause"])
        sink = _sink(peer)
        async with self._exclusive():
            for tracked in self._chosen(message["services"]):
                if tracked.status is (Status.RUNNING if pause else Status.PAUSED):
                    await (lifecycle.pause(tracked) if pause else lifecycle.unpause(tracked))
                    text = "Paused" if pause else "Unpaused"
                    sink(Event(subject=f"Container {tracked.name}", text=text, phase=Phase.DONE))
        peer.send({"result": {}})

    # ------------------------------------------------------------------ sessions

    async def _exec(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Start a command in a running container; its exit code follows unless it is detached."""
        supervisor = self._supervisor
        session = self._sessions[peer] = Session(id="", container=False)
        try:
            tracked = self._replica(str(message["service"]), int(message["index"]))
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

    async def _attach(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Hand out the terminal or the standard input of process 1, then its exit code."""
        tracked = self._replica(str(message["service"]), int(message["index"]))
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

    async def _run(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Make and start a one-off container; stay connected to it unless it is detached."""
        supervisor = self._supervisor
        project = from_json(Project, message["project"])
        service = project.services[str(message["service"])]
        images = {key: from_json(Image, value) for key, value in message["images"].items()}
        operations = self._operations(_sink(peer), project, images)
        async with self._exclusive():
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
                self.background(self._remove_oneoff(operations, tracked))

    async def _remove_oneoff(self, operations: Operations, tracked: Tracked) -> None:
        await self._supervisor.lifecycle.stop(tracked, 0)
        await operations.remove(tracked.config.id, volumes=True)

    async def _wait(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Tell each container of the services as it stops."""
        chosen = self._chosen(message["services"])

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

        await _all(one(tracked) for tracked in chosen)
        peer.send({"result": {}})

    async def _subscribe(self, peer: Peer, _: Message, __: list[int]) -> None:
        """Send every container event until the client goes away."""
        self._supervisor.subscribers.add(peer)
        active = {t.config.id: t.active for t in self._supervisor.lifecycle.tracked.values()}
        peer.send({"subscribed": active})
        await asyncio.Event().wait()

    # ------------------------------------------------------------------ choosing

    def _chosen(self, services: list[str]) -> list[Tracked]:
        lifecycle = self._supervisor.lifecycle
        if not services:
            return [t for t in lifecycle.tracked.values() if not t.record.oneoff]
        chosen = [t for service in services for t in lifecycle.of_service(service)]
        if not chosen:
            raise NoSuchContainer(
                f"service {services[0]}: no container exists", hint="start it with `pycompose up`"
            )
        return chosen

    def _replica(self, service: str, index: int) -> Tracked:
        """Return the running container of a service with number `index`, or with the lowest one for 0."""
        found = self._supervisor.lifecycle.of_service(service)
        if index:
            found = [t for t in found if t.record.number == index]
        running = [t for t in found if t.status in (Status.RUNNING, Status.PAUSED)]
        if running:
            if running[0].status is Status.PAUSED:
                raise StateError(
                    f"container {running[0].name}: is paused", hint="run `pycompose unpause` first"
                )
            return running[0]
        if found:
            raise StateError(
                f'service "{service}" is not running', hint=f"start it with `pycompose start {service}`"
            )
        raise NoSuchContainer(
            f'service "{service}" has no container' + (f" number {index}" if index else ""),
            hint="see `pycompose ps -a` for what there is",
        )


def _sink(peer: Peer) -> Sink:
    return lambda event: peer.send({"event": event.to_json()})


def _quiet(sink: Sink) -> Sink:
    """Let only failures through."""
    return lambda event: sink(event) if event.phase in (Phase.ERROR, Phase.WARNING) else None


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Await all; raise the first failure after the others have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _stop_order(containers: Iterable[ObservedContainer]) -> list[ObservedContainer]:
    """Return containers so that dependants come first."""
    by_id = {container.id: container for container in containers}
    plan = stop_plan(by_id.values(), remove=True)
    ids = [getattr(node.operation, "id", "") for node in plan.nodes]
    return [by_id[container_id] for container_id in dict.fromkeys(ids)]


def _selected(observed: Observed, services: list[str], *, oneoff: bool) -> list[ObservedContainer]:
    """Return the containers of the named services (of all, for none named)."""
    return [
        container
        for container in observed.containers
        if (oneoff or not container.oneoff) and (not services or container.service in services)
    ]


def _reconcile_options(message: Message, images: dict[str, Image]) -> ReconcileOptions:
    return ReconcileOptions(
        services=tuple(message["services"]),
        named=frozenset(message["named"]),
        images={key: image.id for key, image in images.items()},
        recreate=Recreate(message["recreate"]),
        recreate_dependencies=Recreate(message["recreate_dependencies"]),
        renew_volumes=bool(message.get("renew_volumes")),
        remove_orphans=bool(message.get("remove_orphans")),
        start=bool(message.get("start", True)),
        timeout_s=message.get("timeout_s"),
    )


def _warn_about_orphans(sink: Sink, project: Project, observed: Observed) -> None:
    found = orphans(project, observed)
    if found:
        names = ", ".join(container.name for container in found)
        text = (
            f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in your "
            "compose file, you can run this command with the --remove-orphans flag to clean it up."
        )
        sink(Event(subject="", text=text, phase=Phase.WARNING))


def _tell_running(sink: Sink, plan: Plan, observed: Observed, options: ReconcileOptions) -> None:
    """Say "Running" for what is left alone."""
    touched = {
        getattr(node.operation, "id", "") or getattr(node.operation, "replaces", "") for node in plan.nodes
    }
    for container in observed.containers:
        if container.service in options.services and container.running and container.id not in touched:
            sink(Event(subject=f"Container {container.name}", text="Running", phase=Phase.DONE))
