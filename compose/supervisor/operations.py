"""What each operation of a plan does, and what people are told about it. Nothing is decided here."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, assert_never
from weakref import WeakValueDictionary

from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import KeeperLost, NetworkError, PycomposeError, StateError
from pycompose.events import STILL_IN_USE, Event, Phase
from pycompose.model import MOUNT_PREFIX
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KeepContainer,
    Node,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    RunInitContainer,
    StartContainer,
    StartFirst,
    StopContainer,
    touched,
)
from pycompose.policy.sharing import joined_modes
from pycompose.policy.startup import PRE_START, hook_key
from pycompose.state.hooks import note_hook_done
from pycompose.state.records import write_service
from pycompose.state.snapshot import STANDALONE
from pycompose.supervisor.announcements import announced
from pycompose.supervisor.init_containers import InitContainerFailed, init_service, run_to_end
from pycompose.supervisor.lifecycle.conditions import DependencyFailed
from pycompose.supervisor.lifecycle.start_first import ReplacementStart
from pycompose.supervisor.runtime.containers import NewContainer, Runtime
from pycompose.supervisor.runtime.mounts import ensure_volume, rewrite_files
from pycompose.supervisor.threads import Together, blocking, shielded
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pycompose.engine.images.spec import Image
    from pycompose.events import Sink
    from pycompose.model import Network, Project, Service
    from pycompose.policy.plan import Operation
    from pycompose.supervisor.lifecycle.hooks import Told
    from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.network.wiring import Wiring

# How many containers' files are removed at the same time: more threads would mostly wait for the interpreter's lock.
ERASING = 2


@dataclass(slots=True)
class Operations:
    """Performs the nodes of one plan. `project` is None for commands that work without a compose file.

    `losses` is what `runtime.losses` was before. With `hook_output` the sink is told what hooks print. Containers are
    made together, and yet in the plan's order by their moments of creation: `began_ns` and the number of the node.
    """

    runtime: Runtime
    wiring: Wiring
    lifecycle: Lifecycle
    need_keeper: Callable[[], Awaitable[None]]
    sink: Sink
    # A plan makes, or removes, all of its networks at the same time.
    network_creations: Together[Network, list[str]]
    network_removals: Together[str, None]
    # And takes away what its containers have at run time; their files go on a few threads, for some have many.
    discards: Together[str, None]
    erasing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ERASING))
    project: Project | None = None
    images: dict[str, Image] = field(default_factory=dict)
    created: dict[tuple[str, int], str] = field(default_factory=dict)
    noting: asyncio.Lock = field(default_factory=asyncio.Lock)
    # By container: `down` and the end of a container of `run --rm` remove it at the same time.
    removals: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    losses: int = 0
    began_ns: int = field(default_factory=time.time_ns)
    hook_output: bool = False
    _warned: set[tuple[str, str]] = field(default_factory=set)

    async def perform(self, node: Node, abort: asyncio.Event) -> None:
        """Perform one node; raises PycomposeError after telling the sink."""
        operation = node.operation
        match operation:
            case CreateNetwork():
                await self._step(operation, self._create_network(operation))
            case CreateVolume():
                await self._step(operation, self._create_volume(operation))
            case RemoveNetwork():
                await self._remove_network(operation)
            case RemoveVolume():
                await self._step(operation, self._remove_volume(operation))
            case CreateContainer():
                await self._step(operation, self._create(operation, self.began_ns + node.number))
            case RunInitContainer():
                await self._step(operation, self._run_init_container(operation))
            case StartContainer() | StartFirst():
                await self._start(operation, abort)
            case KeepContainer():
                await self._step(operation, self._keep(operation))
            case RenameContainer():
                await self._step(operation, self._rename(operation))
            case AwaitService():
                await self._await(operation, abort)
            case StopContainer():
                await self._step(operation, self._stop(operation))
            case RemoveContainer():
                await self._step(operation, self.remove(operation.id, volumes=operation.volumes))
            case _:
                assert_never(operation)

    # ------------------------------------------------------------------ networks and volumes

    async def _create_network(self, operation: CreateNetwork) -> None:
        network = self._project().networks[operation.key]
        for text in await self.network_creations.do(network):
            self._tell(f"Network {network.name}", "Warning", Phase.WARNING, text)

    async def _create_volume(self, operation: CreateVolume) -> None:
        project = self._project()
        await blocking(ensure_volume, self.runtime.paths, project, project.volumes[operation.key])

    async def ensure_places(self, service: Service) -> None:
        """Make the networks and named volumes of a service, and tell of those that weren't there."""
        project = self._project()
        networks = await blocking(self.wiring.observed_networks)
        for network in (project.networks[endpoint.network] for endpoint in service.networks):
            operation = CreateNetwork(key=network.key, name=network.name)
            there = network.external or network.name in networks
            await self._ensure(operation, self._create_network(operation), there=there)
        store = VolumeStore(self.runtime.paths)
        for mount in service.volumes:
            if mount.kind == "volume" and mount.source:
                volume = project.volumes[mount.source]
                creation = CreateVolume(key=volume.key, name=volume.name)
                there = volume.external or await blocking(store.get, volume.name) is not None
                await self._ensure(creation, self._create_volume(creation), there=there)

    async def _ensure(self, operation: Operation, work: Awaitable[None], *, there: bool) -> None:
        """Run `work`, and tell of what isn't `there`; `container run` tells of nothing, as docker's."""
        if there or self.runtime.project == STANDALONE:
            await work
        else:
            await self._step(operation, work)

    async def _remove_network(self, operation: RemoveNetwork) -> None:
        work = self.network_removals.do(operation.name)
        if not operation.optional:
            await self._step(operation, work)
            return
        (step,) = announced(operation)
        self._tell(step.subject, step.working, Phase.WORKING)
        try:
            await work
        except NetworkError as exc:
            self._tell(step.subject, STILL_IN_USE, Phase.WARNING, str(exc))
        else:
            self._tell(step.subject, step.done, Phase.DONE)

    async def _remove_volume(self, operation: RemoveVolume) -> None:
        await blocking(VolumeStore(self.runtime.paths).remove, operation.name)

    # ------------------------------------------------------------------ containers

    async def _create(self, operation: CreateContainer, created_ns: int) -> None:
        project = self._project()
        service = project.services[operation.service]
        wanted = NewContainer(
            project=project,
            service=service,
            image=self.images[service.name],
            number=operation.number,
            name=operation.beside or operation.name,
            created_ns=created_ns,
            replaces=operation.replaces,
            beside=bool(operation.beside),
            renew_volumes=operation.renew_volumes,
            joined=self._joined(service),
            resolve_image=self.mounted_image,
        )
        config, record = await blocking(self.runtime.create, wanted)
        self.lifecycle.add(config, record)
        self.created[operation.service, operation.number] = config.id

    async def create_oneoff(
        self,
        service: Service,
        *,
        name: str,
        auto_remove: bool = False,
        publish: bool = False,
        image: Image | None = None,
        hook: str = "",
    ) -> TrackedContainer:
        """Make a container that is no replica (of `run`, of a `hook`); its ports only when they are asked for."""
        wanted = NewContainer(
            project=self._project(),
            service=service,
            image=image or self.images[service.name],
            number=1,
            name=name,
            joined=self._joined(service),
            resolve_image=self.mounted_image,
            oneoff=True,
            hook=hook,
            auto_remove=auto_remove,
            publish=publish,
        )
        config, record = await blocking(self.runtime.create, wanted)
        return self.lifecycle.add(config, record)

    def mounted_image(self, reference: str) -> Image:
        """Return an image that isn't a service's own: of a mount, of a hook."""
        return self.images[f"{MOUNT_PREFIX}{reference}"]

    def _joined(self, service: Service) -> dict[str, str]:
        """Return the container ids behind "service:x" and "container:x" of the service's namespaces."""
        found = {}
        for mode in joined_modes(service):
            kind, _, name = mode.partition(":")
            if kind == "service":
                container_id = self._of_service(name)
            else:
                own = [t.config.id for t in self.lifecycle.tracked.values() if t.name == name]
                container_id = self._newest(own) or self.runtime.claims.find(name)
            if not container_id:
                raise StateError(
                    f"service {service.name}: cannot share what {mode} has: no such container",
                    hint="start it first, or name a service of this project: service:NAME",
                )
            found[mode] = container_id
        return found

    def _of_service(self, service: str) -> str:
        """Return the id of a service's container, "" without one."""
        return self._newest([tracked.config.id for tracked in self.lifecycle.of_service(service)])

    def _newest(self, ids: list[str]) -> str:
        """Return the first of `ids`, "" without one; those that the plan has created go first."""
        return next((i for i in ids if i in self.created.values()), next(iter(ids), ""))

    async def _run_init_container(self, operation: RunInitContainer) -> None:
        service = self._tracked(operation).record.service
        hook = service.pre_start[operation.index]
        await self.need_keeper()
        tracked = await self.create_oneoff(
            init_service(service, hook),
            name=operation.name,
            image=self.mounted_image(hook.image) if hook.image else None,
            hook=PRE_START,
        )
        told = self._told(f"{service.name} {PRE_START}[{operation.index}] ->")
        try:
            await run_to_end(self.lifecycle, self.runtime, tracked, operation.index, told)
        except InitContainerFailed:
            raise
        except BaseException:  # cancelled, or never started: there is nothing to look at
            await shielded(self.remove(tracked.config.id, volumes=True))
            raise
        await self.remove(tracked.config.id, volumes=True)
        async with self.noting:
            key = hook_key(service, operation.index)
            await blocking(note_hook_done, self.runtime.paths, self.runtime.project, key)

    async def _start(self, operation: StartContainer | StartFirst, abort: asyncio.Event) -> None:
        tracked = self._tracked(operation)
        if tracked.active:
            self._tell(f"Container {tracked.name}", "Running", Phase.DONE)
            return
        if self.project is not None and operation.service in self.project.services:
            service, config = self.project.services[operation.service], tracked.config
            if (service.secrets or service.configs) and config.id not in self.created.values():
                await blocking(rewrite_files, self.runtime.paths, self.project, service, config)
            await self._renew_networks(tracked, self.project)
        await self.need_keeper()
        told = self._told(self._hooks_name(tracked, operation.name))
        if isinstance(operation, StartFirst):
            start = ReplacementStart(self.lifecycle, self.runtime).run(tracked, abort, told)
        else:
            start = self.lifecycle.start(tracked, told)
        await self._step(operation, start)
        for text in tracked.warnings:
            if (operation.service, text) not in self._warned:  # its replicas say the same
                self._warned.add((operation.service, text))
                self._tell(f"Container {tracked.name}", "Warning", Phase.WARNING, text)

    async def _renew_networks(self, tracked: TrackedContainer, project: Project) -> None:
        """Lead a container that stays what it is onto the networks as they are now, perhaps under other names."""
        record = tracked.record
        new = {
            key: project.networks[key]
            for key, network in record.networks.items()
            if not network.external and project.networks.get(key, network) != network
        }
        there = await blocking(self.wiring.observed_networks) if new else {}
        new = {key: network for key, network in new.items() if network.name in there}
        if new:
            tracked.record = replace(record, networks={**record.networks, **new})
            await blocking(write_service, self.runtime.paths, tracked.config.id, tracked.record)

    async def _keep(self, operation: KeepContainer) -> None:
        tracked = self.lifecycle.tracked.get(operation.id)
        if tracked is not None:
            await self.lifecycle.withdraw_stop(tracked)

    async def _rename(self, operation: RenameContainer) -> None:
        await self.lifecycle.rename(self._tracked(operation), operation.name)

    async def _await(self, operation: AwaitService, abort: asyncio.Event) -> None:
        steps = announced(operation)
        for step in steps:
            self._tell(step.subject, step.working, Phase.WORKING)
        try:
            await self.lifecycle.conditions.wait_for(operation.service, operation.condition, abort)
        except DependencyFailed as exc:
            for step in steps:
                if operation.required:
                    self._fail(step.subject, exc)
                else:
                    self._tell(step.subject, "Skipped", Phase.WARNING, f"optional dependency: {exc}")
            if operation.required:
                raise DependencyFailed(f"dependency failed to start: {exc}", hint=exc.hint) from exc
            return
        if not abort.is_set():
            for step in steps:
                self._tell(step.subject, step.done, Phase.DONE)

    async def _stop(self, operation: StopContainer) -> None:
        tracked = self.lifecycle.tracked.get(operation.id)
        if tracked is not None:
            told = self._told(self._hooks_name(tracked, operation.name))
            await self.lifecycle.stop(tracked, operation.timeout_s, told, signal_number=operation.signal)

    async def remove(self, container_id: str, *, volumes: bool) -> None:
        """Remove a container that doesn't run; once somebody else who removes it is done."""
        async with self.removals.setdefault(container_id, asyncio.Lock()):
            await self._remove(container_id, volumes=volumes)

    async def _remove(self, container_id: str, *, volumes: bool) -> None:
        tracked = self.lifecycle.tracked.get(container_id)
        if tracked is not None:
            await self.lifecycle.ensure_stopped(tracked)
        self.lifecycle.untrack(container_id)
        if self.runtime.paths.container_run(container_id).exists():
            await self.need_keeper()  # which has, or adopts, what there is at run time
        await shielded(self._discard(container_id, volumes=volumes))
        for other in list(self.lifecycle.tracked.values()):
            if tracked is not None and other.name == tracked.name:
                await blocking(self.runtime.claims.keep, other.config.id, other.name)

    async def _discard(self, container_id: str, *, volumes: bool) -> None:
        await self.discards.do(container_id)
        async with self.erasing:
            await blocking(self.runtime.erase, container_id, volumes=volumes)

    # ------------------------------------------------------------------ helpers

    def _project(self) -> Project:
        if self.project is None:
            raise StateError("plan: needs the compose file", hint="run the command where the compose file is")
        return self.project

    def _tracked(
        self, operation: RunInitContainer | StartContainer | StartFirst | RenameContainer
    ) -> TrackedContainer:
        """Return the container that an operation is about: one that was there, or that the plan has created."""
        container_id = touched(operation) or self.created.get((operation.service, operation.number), "")
        tracked = self.lifecycle.tracked.get(container_id)
        if tracked is None:
            raise StateError(
                f"container {operation.name}: gone while it was to be started", hint="run the command again"
            )
        return tracked

    async def _step(self, operation: Operation, work: Awaitable[None]) -> None:
        """Run `work` between "Starting" and "Started", or "Error"."""
        (step,) = announced(operation)
        self._tell(step.subject, step.working, Phase.WORKING)
        try:
            await work
        except PycomposeError as exc:
            self._fail(step.subject, exc)
            raise
        self._tell(step.subject, step.done, Phase.DONE)

    def _told(self, source: str) -> Told | None:
        """Return what tells the lines of a hook, None when nobody wants them."""
        if not self.hook_output:
            return None
        return lambda line: self.sink(
            Event(subject="", text="", phase=Phase.WORKING, log=line, source=source)
        )

    def _hooks_name(self, tracked: TrackedContainer, name: str) -> str:
        """Return what stands before the lines of a container's hooks: its name without the project."""
        if tracked.record.service.container_name:
            return f"{name} ->"
        return f"{name[len(self.runtime.project) + 1 :]} ->"

    def _fail(self, subject: str, exc: PycomposeError) -> None:
        """Tell of a failure, unless the keeper has died meanwhile: who has asked is told of that, and asks again."""
        if self.runtime.losses == self.losses and not isinstance(exc, KeeperLost):
            self._tell(subject, "Error", Phase.ERROR, str(exc))

    def _tell(self, subject: str, text: str, phase: Phase, details: str = "") -> None:
        if text:
            self.sink(Event(subject=subject, text=text, phase=phase, details=details))
