"""The operations that change a project: from what a client asks to a plan, and through it."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import KeeperLost, NoSuchContainer, PycomposeError, StateError
from pycompose.engine.linux.process import has_no_new_privileges
from pycompose.engine.state import Status
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import write_json
from pycompose.events import Event, Phase
from pycompose.ipc.messages import ChangeResult, DownResult, ProgressMessage
from pycompose.ipc.requests import DownRequest, StartRequest
from pycompose.policy.observed import orphans
from pycompose.policy.options import ReconcileOptions
from pycompose.policy.plan import touched
from pycompose.policy.reconcile import reconcile
from pycompose.policy.resources import leftovers
from pycompose.policy.selection import remaining, selected, with_dependencies, with_restarting_dependants
from pycompose.policy.startup import restart_plan, start_plan
from pycompose.policy.teardown import TeardownOptions, down_plan, stop_plan
from pycompose.state.boot import LastStatus, note_change
from pycompose.supervisor.announcements import orphans_found, rehearse, rehearse_wait
from pycompose.supervisor.execute import execute
from pycompose.supervisor.lifecycle.conditions import SETTLED_S
from pycompose.supervisor.runtime.container_config import signal_number
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from pycompose.events import Sink
    from pycompose.ipc.requests import (
        ApplyRequest,
        DisownRequest,
        HoldRequest,
        KillRequest,
        OwnRequest,
        PauseRequest,
        PlanRequest,
        RemoveRequest,
        RestartRequest,
        StopRequest,
    )
    from pycompose.ipc.server import Peer
    from pycompose.model import Project
    from pycompose.policy.observed import Observed, ObservedContainer
    from pycompose.policy.plan import Plan
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.operations import Operations
    from pycompose.supervisor.project import ManagedProject

log = logging.getLogger("pycompose.supervisor")

# How long after each failure to take an orphan down it is tried again.
ORPHAN_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
NO_NEW_PRIVILEGES = (
    "no_new_privs was set in the shell that has started this project, and can't be taken back: su, sudo and other "
    "setuid programs gain nothing in its containers. Take it down, and start it from another shell."
)


class ProjectHandlers:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed

    async def apply(self, peer: Peer, request: ApplyRequest, _: list[int]) -> None:
        """`up`, `create`, `scale`: make the project what it says."""
        project = request.project
        sink = sink_of(peer)
        async with self._managed.exclusive(interruptible=True):
            if not request.dry_run:
                self._managed.keepers.start_soon()
                await blocking(self._remember, project)
            observed = await self._managed.observe(
                strangers=bool(request.expendable_volumes),
                hooks=any(service.pre_start for service in project.services.values()),
            )
            options = _reconcile_options(request)
            found = orphans(project, observed)
            if found and not request.ignore_orphans and not request.remove_orphans:
                sink(orphans_found(container.name for container in found))
            if has_no_new_privileges():
                sink(Event(subject="", text=NO_NEW_PRIVILEGES, phase=Phase.WARNING))
            for text in leftovers(project, observed, [project.services[name] for name in request.services]):
                sink(Event(subject="", text=text, phase=Phase.WARNING))
            plan = reconcile(project, observed, options)
            _tell_running(sink, plan, observed, options)
            operations = self._managed.operations(
                sink, project, request.images, hook_output=request.hook_output
            )
            await self._walk(plan, operations, request)
        if request.start and not request.dry_run:
            wiring = self._managed.wiring
            closed = await blocking(wiring.check_firewalls, open_them=request.open_firewall)
            for text in (*await blocking(wiring.idle_ports), *closed):
                sink(Event(subject="", text=text, phase=Phase.WARNING))
        # A crash of the machine finds the new containers on disk; nobody has to wait for it.
        self._managed.tasks.start(blocking(self._managed.runtime.sync))
        if request.wait and request.dry_run:
            rehearse_wait(remaining(observed, plan, options.services), sink)
        elif request.wait:
            await self._wait_ready(sink, options.services, request.wait_timeout_s)
        peer.answer(ChangeResult())

    @staticmethod
    async def _walk(plan: Plan, operations: Operations, request: PlanRequest[Any]) -> None:
        """Perform the plan; with `dry_run` only say what would be done."""
        if request.dry_run:
            rehearse(plan, operations.sink)
        else:
            await execute(plan, operations.perform, parallel=request.parallel)

    def _remember(self, project: Project) -> None:
        managed = self._managed
        directory = managed.paths.project(project.name)
        make_directory(directory)
        value: dict[str, Any] = {
            "directory": project.directory, "files": list(project.files), "name": project.name,
        }  # fmt: skip
        if project.isolated:
            value["isolated"] = True
        if project.profiles:
            value["profiles"] = list(project.profiles)
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

    async def down(self, peer: Peer, request: DownRequest, _: list[int]) -> None:
        """Stop and remove containers and networks, with `volumes` the data too; end when nothing is left."""
        done = await self.take_down(sink_of(peer), request)
        peer.answer(DownResult(nothing=not done, ends=self._managed.finish_after_down()))

    async def take_down(self, sink: Sink, request: DownRequest) -> bool:
        """Do what `down` does; return whether there was anything to do."""
        managed = self._managed
        project = request.project
        async with managed.exclusive(interrupts=True):
            observed = await managed.observe()
            options = TeardownOptions(
                services=request.services,
                remove_orphans=request.remove_orphans,
                volumes=request.volumes,
                timeout_s=request.timeout_s,
            )
            plan = down_plan(observed, project, options)
            await self._walk(plan, managed.operations(sink, project), request)
            if not managed.lifecycle.tracked and not request.dry_run:
                await blocking(managed.wiring.remove_all)
                managed.owners.clear()
        return bool(plan)

    async def own(self, peer: Peer, request: OwnRequest, _: list[int]) -> None:
        """Let the project end with the process that asks."""
        self._managed.owners.add(peer.pid(), volumes=request.volumes)
        peer.answer(ChangeResult())

    async def disown(self, peer: Peer, request: DisownRequest, _: list[int]) -> None:
        """Let it go on without the process that asks; the last one then takes it down, unless it is to stay."""
        others = self._managed.owners.release(peer.pid(), leave=request.keep)
        peer.answer(ChangeResult(nothing=others))

    async def orphaned(self) -> None:
        """Take the project down whose last owner has died, at once: nobody cares how its services end.

        Nobody would ask again either: what fails, as when a keeper has been killed with the owner, is tried again.
        """
        volumes = self._managed.owners.volumes
        request = DownRequest(volumes=volumes, remove_orphans=True, timeout_s=0.0)
        for pause_s in ORPHAN_PAUSES_S:
            try:
                await self._managed.keepers.replaced()
                await self.take_down(_log_event, request)
                break
            except* (PycomposeError, OSError) as failures:
                log.warning("project %s: cannot take it down: %s", self._managed.name, failures.exceptions)
            await asyncio.sleep(pause_s)
        self._managed.finish_after_down()

    async def start(self, peer: Peer, request: StartRequest, _: list[int]) -> None:
        """Start what exists, dependencies first."""
        sink = sink_of(peer)
        async with self._managed.exclusive(interruptible=True):
            chosen = await self.start_chosen(sink, request)
        if request.wait and request.dry_run:
            rehearse_wait([container.name for container in chosen], sink)
        elif request.wait:
            services = dict.fromkeys(container.service for container in chosen)
            await self._wait_ready(sink, services, request.wait_timeout_s)
        peer.answer(ChangeResult())

    async def start_chosen(self, sink: Sink, request: StartRequest) -> list[ObservedContainer]:
        """Start what a request chooses, and return it; the caller keeps others out (`exclusive`)."""
        observed = await self._managed.observe()
        chosen = selected(observed, request.services, request.ids)
        if not chosen and request.services:
            raise NoSuchContainer(f"service {request.services[0]} has no container to start")
        alone = bool(request.ids)  # named as containers, they are nobody's dependants
        if not alone:
            chosen = with_dependencies(observed, chosen)
        services = set() if alone else {container.service for container in chosen}
        plan = start_plan(chosen, services)
        try:
            await self._walk(plan, self._managed.operations(sink, request.project), request)
        except PycomposeError as exc:
            if not isinstance(exc, KeeperLost) and not request.dry_run:  # after which it is tried again
                self._remove_unstarted(container.id for container in chosen)
            raise
        return chosen

    async def stop(self, peer: Peer, request: StopRequest, _: list[int]) -> None:
        """Stop containers, dependants first. What `returns` does so with the machine: nobody has stopped it."""
        async with self._managed.stopping():
            chosen = selected(await self._managed.observe(), request.services, request.ids)
            plan = stop_plan(chosen, timeout_s=request.timeout_s, signal=_signal(request))
            operations = self._managed.operations(sink_of(peer), hook_output=request.hook_output)
            await self._walk(plan, operations, request)
            for container in chosen if request.returns else ():
                await blocking(note_change, self._managed.paths, container.id, LastStatus.UP)
        peer.answer(ChangeResult())

    async def restart(self, peer: Peer, request: RestartRequest, _: list[int]) -> None:
        """Stop in reverse order, start in order; dependants that declared `restart: true` too."""
        sink = sink_of(peer)
        async with self._managed.stopping():
            observed = await self._managed.observe()
            chosen = selected(observed, request.services, request.ids)
            if not request.no_deps:
                chosen = with_restarting_dependants(observed, chosen)
            await blocking(self._managed.runtime.check_room, [container.id for container in chosen])
            for container in chosen:
                sink(Event(subject=f"Container {container.name}", text="Restarting", phase=Phase.WORKING))
            if not request.dry_run:
                await self._restart(chosen, request, sink)
            for container in chosen:
                sink(Event(subject=f"Container {container.name}", text="Started", phase=Phase.DONE))
        peer.answer(ChangeResult())

    async def _restart(self, chosen: list[ObservedContainer], request: RestartRequest, sink: Sink) -> None:
        managed = self._managed
        ids = [container.id for container in chosen]
        operations = managed.operations(_quiet(sink))
        try:
            with managed.auto_remove.keeping(ids):
                async with managed.lifecycle.keeping_networks(ids):
                    await execute(
                        restart_plan(chosen, request.timeout_s, _signal(request)),
                        operations.perform,
                        parallel=request.parallel,
                    )
        finally:
            self._remove_unstarted(ids)
        for container_id in ids:
            if container_id in managed.lifecycle.tracked:
                managed.lifecycle.restarted(managed.lifecycle.tracked[container_id])

    def _remove_unstarted(self, container_ids: Iterable[str]) -> None:
        """Begin to remove those containers that aren't to be kept, and don't run after their start (`--rm`)."""
        for container_id in container_ids:
            tracked = self._managed.lifecycle.tracked.get(container_id)
            if tracked is not None and not tracked.active:
                self._managed.auto_remove.ended(tracked)

    async def kill(self, peer: Peer, request: KillRequest, _: list[int]) -> None:
        """Send a signal to all containers at once; doesn't wait for an operation that stops them gently."""
        number = signal_number(request.signal)
        sink = sink_of(peer)
        if not request.dry_run:
            self._managed.interrupt()
        running = [
            tracked
            for tracked in self._managed.chosen(request.services, request.ids, oneoffs=True)
            if tracked.active
        ]

        async def kill(tracked: TrackedContainer) -> None:
            sink(Event(subject=f"Container {tracked.name}", text="Killing", phase=Phase.WORKING))
            if not request.dry_run:
                await self._managed.lifecycle.signal(tracked, number)
            sink(Event(subject=f"Container {tracked.name}", text="Killed", phase=Phase.DONE))

        await _all(kill(tracked) for tracked in running)
        peer.answer(ChangeResult(nothing=not running))

    async def rm(self, peer: Peer, request: RemoveRequest, _: list[int]) -> None:
        """Remove stopped containers, with `stop` running ones too."""
        async with self._managed.exclusive(interrupts=request.stop):
            chosen = selected(await self._managed.observe(), request.services, request.ids)
            if not request.stop:
                chosen = [container for container in chosen if not container.running]
            elif request.kill and not request.dry_run:
                tracked = self._managed.lifecycle.tracked
                alive = [tracked[one.id] for one in chosen if one.running and one.id in tracked]
                await _all(self._managed.lifecycle.signal(one, signal.SIGKILL) for one in alive)
            plan = stop_plan(chosen, timeout_s=request.timeout_s, remove=True, volumes=request.volumes)
            await self._walk(plan, self._managed.operations(sink_of(peer)), request)
        peer.answer(ChangeResult(nothing=not chosen))

    async def pause(self, peer: Peer, request: PauseRequest, _: list[int]) -> None:
        """Freeze or thaw; containers that don't run are left out. Raises StateError for who is so already."""
        lifecycle = self._managed.lifecycle
        sink = sink_of(peer)
        text = "Paused" if request.pause else "Unpaused"
        async with self._managed.exclusive():
            chosen = self._managed.chosen(request.services, request.ids)
            running, paused = ([t for t in chosen if t.status is s] for s in (Status.RUNNING, Status.PAUSED))
            for tracked in running if request.pause else paused:
                if not request.dry_run:
                    await (lifecycle.pause(tracked) if request.pause else lifecycle.unpause(tracked))
                sink(Event(subject=f"Container {tracked.name}", text=text, phase=Phase.DONE))
        already = paused if request.pause else running
        if already and not request.again:
            names = ", ".join(tracked.name for tracked in already)
            raise StateError(f"container {names}: {'already' if request.pause else 'not'} paused")
        peer.answer(ChangeResult())

    async def hold(self, peer: Peer, request: HoldRequest, _: list[int]) -> None:
        """Keep everybody else from changing the project until the client hangs up, which cancels this.

        What is frozen meanwhile goes on then, however the client ends.
        """
        lifecycle = self._managed.lifecycle
        async with self._managed.exclusive():
            chosen = self._managed.chosen((), request.pause) if request.pause else []
            frozen = [tracked for tracked in chosen if tracked.status is Status.RUNNING]
            try:
                for tracked in frozen:
                    await lifecycle.pause(tracked)
                peer.answer(ChangeResult())
                await asyncio.Event().wait()
            finally:
                for tracked in frozen:
                    await lifecycle.unpause(tracked)


def _signal(request: StopRequest | RestartRequest) -> int:
    """Return the number of the signal that is to stop containers, 0 for their own; raises EngineError."""
    return signal_number(request.signal) if request.signal else 0


def _log_event(event: Event) -> None:
    """Keep what nobody is told."""
    if event.phase in (Phase.ERROR, Phase.WARNING):
        log.warning("%s %s %s", event.subject, event.text, event.details)


def sink_of(peer: Peer) -> Sink:
    """Return the sink that sends events to a client."""
    return lambda event: peer.send(ProgressMessage(event=event))


def tell_warnings(sink: Sink, tracked: TrackedContainer, texts: Iterable[str]) -> None:
    """Tell what was asked for a container and has no effect on this machine."""
    for text in texts:
        sink(Event(subject=f"Container {tracked.name}", text="Warning", phase=Phase.WARNING, details=text))


def _quiet(sink: Sink) -> Sink:
    """Let only failures through."""
    return lambda event: sink(event) if event.phase in (Phase.ERROR, Phase.WARNING) else None


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """Await all; raise the first failure after the others have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _reconcile_options(request: ApplyRequest) -> ReconcileOptions:
    return ReconcileOptions(
        services=request.services,
        named=frozenset(request.named),
        images={key: image.id for key, image in request.images.items()},
        recreate=request.recreate,
        recreate_dependencies=request.recreate_dependencies,
        renew_volumes=request.renew_volumes,
        expendable=frozenset(request.expendable_volumes),
        forced=None if request.forced is None else frozenset(request.forced),
        remove_orphans=request.remove_orphans,
        all_resources=request.all_resources,
        start=request.start,
        timeout_s=request.timeout_s,
    )


def _tell_running(sink: Sink, plan: Plan, observed: Observed, options: ReconcileOptions) -> None:
    """Say "Running" for what is left alone."""
    changes = {touched(node.operation) for node in plan.nodes}
    for container in observed.containers:
        if container.oneoff or container.service not in options.services:
            continue
        if container.running and container.id not in changes:
            sink(Event(subject=f"Container {container.name}", text="Running", phase=Phase.DONE))
