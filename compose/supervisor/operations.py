"""What each operation of a plan does, and what people are told about it (Compose's words)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import KeeperLost, NetworkError, PycomposeError, StateError
from pycompose.events import Event, Phase
from pycompose.model import MOUNT_PREFIX, Condition
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    Node,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from pycompose.policy.sharing import joined_modes
from pycompose.supervisor.init_containers import InitContainers
from pycompose.supervisor.lifecycle.conditions import DependencyFailed
from pycompose.supervisor.lifecycle.start_first import Takeover
from pycompose.supervisor.runtime.containers import NewContainer, Runtime
from pycompose.supervisor.runtime.mounts import ensure_volume
from pycompose.supervisor.threads import blocking
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pycompose.engine.images.spec import Image
    from pycompose.events import Sink
    from pycompose.model import Project, Service
    from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.network.wiring import Wiring

CONDITION_DONE = {Condition.STARTED: "Started", Condition.HEALTHY: "Healthy", Condition.COMPLETED: "Exited"}
REHEARSED = {
    "CreateNetwork": ("Creating", "Created"),
    "CreateVolume": ("Creating", "Created"),
    "RemoveNetwork": ("Removing", "Removed"),
    "RemoveVolume": ("Removing", "Removed"),
    "CreateContainer": ("Creating", "Created"),
    "StartContainer": ("Starting", "Started"),
    "StopContainer": ("Stopping", "Stopped"),
    "RemoveContainer": ("Removing", "Removed"),
}


@dataclass(slots=True)
class Operations:
    """Performs the nodes of one plan. `project` is None for commands that work without a compose file.

    `losses` is what `runtime.losses` was before.
    """

    runtime: Runtime
    wiring: Wiring
    lifecycle: Lifecycle
    need_keeper: Callable[[], Awaitable[None]]
    sink: Sink
    project: Project | None = None
    images: dict[str, Image] = field(default_factory=dict)
    created: dict[tuple[str, int], str] = field(default_factory=dict)
    once: dict[str, asyncio.Lock] = field(default_factory=dict)
    losses: int = 0

    async def perform(self, node: Node, abort: asyncio.Event) -> None:
        """Perform one node; raises PycomposeError after telling the sink."""
        operation = node.operation
        match operation:
            case CreateNetwork():
                await self._step(f"Network {operation.name}", "Creat", self._create_network(operation))
            case CreateVolume():
                await self._step(f"Volume {operation.name}", "Creat", self._create_volume(operation))
            case RemoveNetwork():
                await self._remove_network(operation)
            case RemoveVolume():
                await self._step(f"Volume {operation.name}", "Remov", self._remove_volume(operation))
            case CreateContainer():
                await self._create(operation)
            case StartContainer():
                await self._start(operation, abort)
            case RenameContainer():
                await self._rename(operation)
            case AwaitService():
                await self._await(operation, abort)
            case StopContainer():
                await self._stop(operation)
            case RemoveContainer():
                await self._remove(operation)

    def rehearse(self, node: Node) -> None:
        """Tell what performing the node would tell, with its cause."""
        operation = node.operation
        kind = "Container"
        match operation:
            case CreateNetwork() | RemoveNetwork():
                kind = "Network"
            case CreateVolume() | RemoveVolume():
                kind = "Volume"
            case AwaitService() | RenameContainer():
                return
        recreates = isinstance(operation, CreateContainer) and operation.replaces
        working, done = ("Recreate", "Recreated") if recreates else REHEARSED[type(operation).__name__]
        self._tell(f"{kind} {operation.label}", working, Phase.WORKING)
        self._tell(f"{kind} {operation.label}", done, Phase.DONE, f"({node.cause})")

    # ------------------------------------------------------------------ networks and volumes

    async def _create_network(self, operation: CreateNetwork) -> None:
        network = self._project().networks[operation.key]
        await blocking(self.wiring.ensure_network, network)

    async def _create_volume(self, operation: CreateVolume) -> None:
        project = self._project()
        await blocking(ensure_volume, self.runtime.paths, project, project.volumes[operation.key])

    async def _remove_network(self, operation: RemoveNetwork) -> None:
        subject = f"Network {operation.name}"
        self._tell(subject, "Removing", Phase.WORKING)
        try:
            await blocking(self.wiring.remove_network, operation.name)
        except NetworkError as exc:
            if not operation.optional:
                raise
            self._tell(subject, "Resource is still in use", Phase.WARNING, str(exc))
        else:
            self._tell(subject, "Removed", Phase.DONE)

    async def _remove_volume(self, operation: RemoveVolume) -> None:
        await blocking(VolumeStore(self.runtime.paths).remove, operation.name)

    # ------------------------------------------------------------------ containers

    async def _create(self, operation: CreateContainer) -> None:
        project = self._project()
        service = project.services[operation.service]
        subject = f"Container {operation.name}"
        verb = "Recreat" if operation.replaces else "Creat"
        self._tell(subject, "Recreate" if operation.replaces else "Creating", Phase.WORKING)
        try:
            wanted = NewContainer(
                project=project,
                service=service,
                image=self.images[service.name],
                number=operation.number,
                name=operation.beside or operation.name,
                replaces=operation.replaces,
                beside=bool(operation.beside),
                renew_volumes=operation.renew_volumes,
                joined=self._joined(service),
                resolve_image=self.mounted_image,
            )
            config, record = await blocking(self.runtime.create, wanted)
        except PycomposeError as exc:
            self._fail(subject, exc)
            raise
        self.lifecycle.add(config, record)
        self.created[operation.service, operation.number] = config.id
        self._tell(subject, f"{verb}ed", Phase.DONE)

    async def create_oneoff(
        self, service: Service, *, name: str, auto_remove: bool, publish: bool, image: Image | None = None
    ) -> TrackedContainer:
        """Make a container that is no replica (of `run`, of a hook); its ports only when they are asked for."""
        wanted = NewContainer(
            project=self._project(),
            service=service,
            image=image or self.images[service.name],
            number=1,
            name=name,
            joined=self._joined(service),
            resolve_image=self.mounted_image,
            oneoff=True,
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
                members = self.lifecycle.of_service(name)
                new = next((t for t in members if t.config.id in self.created.values()), None)
                target = new or next(iter(members), None)
            else:
                target = next((t for t in self.lifecycle.tracked.values() if t.name == name), None)
                if target is None and (stranger := self.runtime.find(name)):
                    found[mode] = stranger
                    continue
            if target is None:
                raise StateError(f"service {service.name}: cannot share what {mode} has: no such container")
            found[mode] = target.config.id
        return found

    async def _start(self, operation: StartContainer, abort: asyncio.Event) -> None:
        container_id = operation.id or self.created.get((operation.service, operation.number), "")
        tracked = self._tracked(container_id, operation.name)
        await self.lifecycle.keep(tracked)
        if tracked.active:
            self._tell(f"Container {tracked.name}", "Running", Phase.DONE)
            return
        if self.project is not None and operation.service in self.project.services:
            service = self.project.services[operation.service]
            if service.secrets or service.configs:
                await blocking(self.runtime.restore_files, self.project, service, tracked.config.id)
        await self.need_keeper()
        if self.project is not None and tracked.run == 0 and tracked.record.service.pre_start:
            await InitContainers(self, self.project).run(tracked)
        if tracked.record.takes_over:
            start = Takeover(self.lifecycle, self.runtime).run(tracked, abort)
        else:
            start = self.lifecycle.start(tracked)
        await self._step(f"Container {operation.name}", "Start", start)

    async def _rename(self, operation: RenameContainer) -> None:
        container_id = self.created[operation.service, operation.number]
        tracked = self._tracked(container_id, operation.name)
        await self.lifecycle.rename(tracked, operation.name)

    async def _await(self, operation: AwaitService, abort: asyncio.Event) -> None:
        subjects = [f"Container {t.name}" for t in self.lifecycle.of_service(operation.service)]
        for subject in subjects:
            self._tell(subject, "Waiting", Phase.WORKING)
        try:
            await self.lifecycle.conditions.wait_for(operation.service, operation.condition, abort)
        except DependencyFailed as exc:
            if not operation.required:
                for subject in subjects:
                    self._tell(subject, "Skipped", Phase.WARNING, f"optional dependency: {exc}")
                return
            for subject in subjects:
                self._fail(subject, exc)
            raise DependencyFailed(f"dependency failed to start: {exc}", hint=exc.hint) from exc
        if not abort.is_set():
            for subject in subjects:
                self._tell(subject, CONDITION_DONE[operation.condition], Phase.DONE)

    async def _stop(self, operation: StopContainer) -> None:
        tracked = self.lifecycle.tracked.get(operation.id)
        if tracked is not None:
            await self._step(
                f"Container {operation.name}", "Stopp", self.lifecycle.stop(tracked, operation.timeout_s)
            )

    async def _remove(self, operation: RemoveContainer) -> None:
        subject = f"Container {operation.name}"
        if not operation.replaced:
            self._tell(subject, "Removing", Phase.WORKING)
        try:
            await self.remove(operation.id, volumes=operation.volumes)
        except PycomposeError as exc:
            self._fail(subject, exc)
            raise
        if not operation.replaced:
            self._tell(subject, "Removed", Phase.DONE)

    async def remove(self, container_id: str, *, volumes: bool) -> None:
        """Remove a container that doesn't run."""
        tracked = self.lifecycle.tracked.get(container_id)
        if tracked is not None:
            await self.lifecycle.leave(tracked)
        self.lifecycle.forget(container_id)
        if self.runtime.paths.container_run(container_id).exists():
            await self.need_keeper()  # which has, or adopts, what there is at run time
        await blocking(self.runtime.remove, container_id, volumes=volumes)
        for other in list(self.lifecycle.tracked.values()):
            if tracked is not None and other.name == tracked.name:
                await blocking(self.runtime.keep_name, other.config.id, other.name)

    # ------------------------------------------------------------------ helpers

    def _project(self) -> Project:
        if self.project is None:
            raise StateError("plan: needs the compose file", hint="run the command where the compose file is")
        return self.project

    def _tracked(self, container_id: str, name: str) -> TrackedContainer:
        tracked = self.lifecycle.tracked.get(container_id)
        if tracked is None:
            raise StateError(
                f"container {name}: gone while it was to be started", hint="run the command again"
            )
        return tracked

    async def _step(self, subject: str, stem: str, work: Awaitable[None]) -> None:
        """Run `work` between "Starting" and "Started" (the stem is "Start"), or "Error"."""
        self._tell(subject, f"{stem}ing", Phase.WORKING)
        try:
            await work
        except PycomposeError as exc:
            self._fail(subject, exc)
            raise
        self._tell(subject, f"{stem}ed", Phase.DONE)

    def _fail(self, subject: str, exc: PycomposeError) -> None:
        """Tell of a failure, unless the keeper has died meanwhile: who has asked is told of that, and asks again."""
        if self.runtime.losses == self.losses and not isinstance(exc, KeeperLost):
            self._tell(subject, "Error", Phase.ERROR, str(exc))

    def _tell(self, subject: str, text: str, phase: Phase, details: str = "") -> None:
        self.sink(Event(subject=subject, text=text, phase=phase, details=details))
