"""The operations that change a project: from what a client asks to a plan, and through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json
from pycompose.engine.errors import NoSuchContainer, StateError
from pycompose.engine.images.spec import Image
from pycompose.engine.state import Status
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import write_json
from pycompose.events import Event, Phase
from pycompose.model import Project
from pycompose.policy.plan import AwaitService, Plan, StartContainer
from pycompose.policy.reconcile import ReconcileOptions, Recreate, orphans, reconcile
from pycompose.policy.teardown import down_plan, stop_plan
from pycompose.state.boot import Last, note_change
from pycompose.supervisor.execute import execute
from pycompose.supervisor.lifecycle.conditions import SETTLED_S
from pycompose.supervisor.runtime.container_config import signal_number
from pycompose.supervisor.threads import blocking
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable

    from pycompose.events import Sink
    from pycompose.ipc.protocol import Message
    from pycompose.ipc.server import Peer
    from pycompose.policy.observed import Observed, ObservedContainer
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.operations import Operations
    from pycompose.supervisor.project import ManagedProject


class ProjectHandlers:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed

    async def apply(self, peer: Peer, message: Message, _: list[int]) -> None:
        """`up`, `create`, `scale`: make the project what it says."""
        project = from_json(Project, message["project"])
        images = {key: from_json(Image, value) for key, value in message["images"].items()}
        sink = sink_of(peer)
        async with self._managed.exclusive(interruptible=True):
            if not message.get("dry_run"):
                self._managed.keepers.want()
                await blocking(self._remember, project)
            if not message.get("dry_run") and message.get("start", True):
                wanted = set(message["services"])
                kept = [t for t in self._managed.lifecycle.tracked.values() if t.service in wanted]
                await asyncio.gather(*(self._managed.lifecycle.keep(t) for t in kept if not t.record.oneoff))
            observed = await self._managed.observe()
            options = _reconcile_options(message, images)
            if not message.get("ignore_orphans") and not options.remove_orphans:
                _warn_about_orphans(sink, project, observed)
            plan = reconcile(project, observed, options)
            _tell_running(sink, plan, observed, options)
            await self._walk(plan, self._managed.operations(sink, project, images), message)
        # A crash of the machine finds the new containers on disk; nobody has to wait for it.
        self._managed.tasks.start(blocking(self._managed.runtime.sync))
        if message.get("wait") and not message.get("dry_run"):
            await self._wait_ready(sink, options.services, message.get("wait_timeout_s"))
        peer.send({"result": {}})

    @staticmethod
    async def _walk(plan: Plan, operations: Operations, message: Message) -> None:
        """Perform the plan; with `dry_run` only say what would be done."""
        if message.get("dry_run"):
            for node in plan.nodes:
                operations.rehearse(node)
        else:
            await execute(plan, operations.perform, parallel=message.get("parallel"))

    def _remember(self, project: Project) -> None:
        managed = self._managed
        directory = managed.paths.project(project.name)
        make_directory(directory)
        value = {"directory": project.directory, "files": list(project.files), "name": project.name}
        write_json(directory / "project.json", value, durable=False)

    async def _wait_ready(self, sink: Sink, services: Iterable[str], timeout_s: float | None) -> None:
        lifecycle = self._managed.lifecycle
        waited = [t for service in services for t in lifecycle.of_service(service)]
        for tracked in waited:
            sink(Event(subject=f"Container {tracked.name}", text="Waiting", phase=Phase.WORKING))
        never = asyncio.Event()
        conditions = lifecycle.conditions
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    # A list: every container is asked, so that any failure ends the wait.
                    await conditions.wait_until(lambda: all([conditions.ready(t) for t in waited]), never)  # noqa: C419
                    young_s = max((SETTLED_S - conditions.age_s(t) for t in waited), default=0.0)
                    if young_s <= 0:
                        break
                    await asyncio.sleep(young_s)
        except TimeoutError:
            late = ", ".join(t.name for t in waited if t.status is not Status.EXITED)
            raise StateError(
                f"application not healthy after {timeout_s:g}s", hint=f"still waiting for: {late}"
            ) from None
        for tracked in waited:
            text = "Healthy" if tracked.record.health or tracked.status is Status.RUNNING else "Exited"
            sink(Event(subject=f"Container {tracked.name}", text=text, phase=Phase.DONE))

    async def down(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Stop and remove containers and networks, with `volumes` the data too; end when nothing is left."""
        managed = self._managed
        project = from_json(Project, message["project"]) if message.get("project") else None
        sink = sink_of(peer)
        async with self._managed.exclusive(interrupts=True):
            observed = await self._managed.observe()
            chosen = _taken_down(observed, project, message)
            chosen += [container for container in self._overdue(observed, message) if container not in chosen]
            networks = [] if message["services"] else await blocking(self._networks_of, project)
            stays = [container for container in observed.containers if container not in chosen]
            volumes = await blocking(self._volumes_of, project, stays) if message.get("volumes") else []
            plan = down_plan(
                observed,
                containers=chosen,
                networks=networks,
                volumes=volumes,
                timeout_s=message.get("timeout_s"),
                anonymous_volumes=bool(message.get("volumes")),
            )
            await self._walk(plan, self._managed.operations(sink, project), message)
            nothing_left = not managed.lifecycle.tracked
            if nothing_left:
                await blocking(managed.wiring.remove_all)
        peer.send({"result": {"nothing": not plan, "ends": managed.finish_after_down()}})

    def _overdue(self, observed: Observed, message: Message) -> list[ObservedContainer]:
        """Return what `run --rm` has made and could not remove: a disk was full, or somebody was killed."""
        tracked = self._managed.lifecycle.tracked
        return [
            container
            for container in _selected(observed, message, oneoff=True)
            if container.oneoff
            and not container.running
            and container.id in tracked
            and tracked[container.id].record.auto_remove
        ]

    def _networks_of(self, project: Project | None) -> list[str]:
        names = list(self._managed.wiring.own_networks())
        if project is not None:
            external = {network.name for network in project.networks.values() if network.external}
            names = [name for name in names if name not in external]
        return names

    def _volumes_of(self, project: Project | None, stays: Iterable[ObservedContainer]) -> list[str]:
        """Return the volumes that go: those of the compose file, if there is one, and anonymous ones nobody has."""
        paths = self._managed.paths
        found = VolumeStore(paths).of_project(self._managed.name)
        used = {
            mount.source.removeprefix(f"{paths.volumes}/").split("/")[0]
            for container in stays
            for mount in container.config.mounts
        }
        if project is not None:
            own = {volume.name for volume in project.volumes.values() if not volume.external}
            found = [volume for volume in found if volume.anonymous or volume.name in own]
        return [volume.name for volume in found if volume.name not in used]

    async def start(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Start what exists, dependencies first."""
        sink = sink_of(peer)
        async with self._managed.exclusive(interruptible=True):
            chosen = await self.start_chosen(sink, message)
        if message.get("wait"):
            services = dict.fromkeys(container.service for container in chosen)
            await self._wait_ready(sink, services, message.get("wait_timeout_s"))
        peer.send({"result": {}})

    async def start_chosen(self, sink: Sink, message: Message) -> list[ObservedContainer]:
        """Start what a message chooses, and return it; the caller keeps others out (`exclusive`)."""
        observed = await self._managed.observe()
        chosen = _selected(observed, message, oneoff=False)
        if not chosen and message["services"]:
            raise NoSuchContainer(f"service {message['services'][0]} has no container to start")
        alone = bool(message.get("ids"))  # named as containers, they are nobody's dependants
        if not alone:
            chosen = self._with_dependencies(observed, chosen)
        services = set() if alone else {container.service for container in chosen}
        plan = self._start_plan([container for container in chosen if not container.running], services)
        await self._walk(plan, self._managed.operations(sink), message)
        return chosen

    def _with_dependencies(
        self, observed: Observed, chosen: list[ObservedContainer]
    ) -> list[ObservedContainer]:
        """Return the chosen containers and those of the services that they depend on, as far as there are any."""
        tracked = self._managed.lifecycle.tracked
        services = {container.service for container in chosen}
        new = services
        while new:
            wanted = {
                dependency.service
                for container in observed.containers
                if container.service in new and container.id in tracked
                for dependency in tracked[container.id].record.service.depends_on
            }
            new = wanted - services
            services |= new
        return [c for c in observed.containers if c in chosen or (c.service in services and not c.oneoff)]

    def _start_plan(self, containers: Iterable[ObservedContainer], services: Collection[str]) -> Plan:
        """Return the plan that starts existing containers, each after the conditions of its record.

        Only dependencies in `services` are waited for: nobody would start others.
        """
        tracked = self._managed.lifecycle.tracked
        plan = Plan()
        starts: dict[str, list[int]] = {}
        for container in reversed(_stop_order(containers)):
            after: list[int] = []
            for dependency in tracked[container.id].record.service.depends_on:
                if dependency.service not in services:
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

    async def stop(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Stop containers, dependants first. What `returns` does so with the machine: nobody has stopped it."""
        async with self._managed.exclusive(interrupts=True):
            chosen = _selected(await self._managed.observe(), message, oneoff=False)
            plan = stop_plan(chosen, timeout_s=message.get("timeout_s"))
            await self._walk(plan, self._managed.operations(sink_of(peer)), message)
            for container in chosen if message.get("returns") else ():
                await blocking(note_change, self._managed.paths, container.id, Last.UP)
        peer.send({"result": {}})

    async def restart(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Stop in reverse order, start in order; dependants that declared `restart: true` too."""
        sink = sink_of(peer)
        async with self._managed.exclusive(interrupts=True):
            observed = await self._managed.observe()
            chosen = _selected(observed, message, oneoff=False)
            if not message.get("no_deps"):
                chosen = self._with_restarting_dependants(observed, chosen)
            await blocking(self._managed.runtime.check_room, [container.id for container in chosen])
            operations = self._managed.operations(_quiet(sink))
            async with self._managed.lifecycle.returning([container.id for container in chosen]):
                await execute(stop_plan(chosen, timeout_s=message.get("timeout_s")), operations.perform)
                for container in chosen:
                    sink(Event(subject=f"Container {container.name}", text="Restarting", phase=Phase.WORKING))
                services = {container.service for container in chosen}
                await execute(self._start_plan(chosen, services), operations.perform)
            for container in chosen:
                sink(Event(subject=f"Container {container.name}", text="Started", phase=Phase.DONE))
                if container.id in self._managed.lifecycle.tracked:
                    self._managed.lifecycle.restarted(self._managed.lifecycle.tracked[container.id])
        peer.send({"result": {}})

    def _with_restarting_dependants(
        self, observed: Observed, chosen: list[ObservedContainer]
    ) -> list[ObservedContainer]:
        tracked = self._managed.lifecycle.tracked
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

    async def kill(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Send a signal to all containers at once; doesn't wait for an operation that stops them gently."""
        number = signal_number(str(message["signal"]))
        sink = sink_of(peer)
        self._managed.interrupt()
        running = [
            tracked
            for tracked in self._managed.chosen(message["services"], message.get("ids"), oneoffs=True)
            if tracked.active
        ]

        async def kill(tracked: TrackedContainer) -> None:
            sink(Event(subject=f"Container {tracked.name}", text="Killing", phase=Phase.WORKING))
            await self._managed.lifecycle.signal(tracked, number)
            sink(Event(subject=f"Container {tracked.name}", text="Killed", phase=Phase.DONE))

        await _all(kill(tracked) for tracked in running)
        peer.send({"result": {"nothing": not running}})

    async def rm(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Remove stopped containers, with `stop` running ones too."""
        async with self._managed.exclusive(interrupts=bool(message.get("stop"))):
            chosen = _selected(await self._managed.observe(), message, oneoff=False)
            if not message.get("stop"):
                chosen = [container for container in chosen if not container.running]
            plan = stop_plan(
                chosen, timeout_s=message.get("timeout_s"), remove=True, volumes=bool(message.get("volumes"))
            )
            await self._walk(plan, self._managed.operations(sink_of(peer)), message)
        peer.send({"result": {"nothing": not chosen}})

    async def pause(self, peer: Peer, message: Message, _: list[int]) -> None:
        """Freeze or thaw."""
        lifecycle = self._managed.lifecycle
        pause = bool(message["pause"])
        sink = sink_of(peer)
        async with self._managed.exclusive():
            for tracked in self._managed.chosen(message["services"], message.get("ids")):
                if tracked.status is (Status.RUNNING if pause else Status.PAUSED):
                    await (lifecycle.pause(tracked) if pause else lifecycle.unpause(tracked))
                    text = "Paused" if pause else "Unpaused"
                    sink(Event(subject=f"Container {tracked.name}", text=text, phase=Phase.DONE))
        peer.send({"result": {}})

    async def hold(self, peer: Peer, _message: Message, _: list[int]) -> None:
        """Keep everybody else from changing the project until the client hangs up, which cancels this."""
        async with self._managed.exclusive():
            peer.send({"result": {}})
            await asyncio.Event().wait()


def sink_of(peer: Peer) -> Sink:
    """Return the sink that sends events to a client."""
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


def _selected(observed: Observed, message: Message, *, oneoff: bool) -> list[ObservedContainer]:
    """Return the containers of the named ids, else of the named services (of all, for none named)."""
    services, ids = message["services"], message.get("ids")
    if ids:
        return [container for container in observed.containers if container.id in ids]
    return [
        container
        for container in observed.containers
        if (oneoff or not container.oneoff) and (not services or container.service in services)
    ]


def _taken_down(observed: Observed, project: Project | None, message: Message) -> list[ObservedContainer]:
    """Return the containers that `down` is about, as in Compose.

    What a profile switches off stays. Orphans of an earlier compose file, and what `run` has made, stay unless they
    are asked for.
    """
    everybody = bool(message.get("remove_orphans"))
    chosen = _selected(observed, message, oneoff=everybody)
    if project is None or message["services"]:
        return chosen
    gone = set() if everybody else {container.id for container in orphans(project, observed)}
    off = project.disabled_services
    return [c for c in chosen if c.id not in gone and (c.oneoff or c.service not in off)]


def _reconcile_options(message: Message, images: dict[str, Image]) -> ReconcileOptions:
    return ReconcileOptions(
        services=tuple(message["services"]),
        named=frozenset(message["named"]),
        images={key: image.id for key, image in images.items()},
        recreate=Recreate(message["recreate"]),
        recreate_dependencies=Recreate(message["recreate_dependencies"]),
        renew_volumes=bool(message.get("renew_volumes")),
        stale_volumes=frozenset(message.get("stale_volumes", ())),
        forced=frozenset(message["forced"]) if "forced" in message else None,
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
        if container.oneoff or container.service not in options.services:
            continue
        if container.running and container.id not in touched:
            sink(Event(subject=f"Container {container.name}", text="Running", phase=Phase.DONE))
