"""What a handler may use of the project that this process manages."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from pycompose.engine.api import ContainerExited, EngineGone, ExecExited
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchContainer, StateError
from pycompose.engine.state import Status
from pycompose.events import ContainerEvent
from pycompose.networking.api import Networking
from pycompose.policy.observed import Observed
from pycompose.state.hooks import hooks_done
from pycompose.state.snapshot import STANDALONE, observe_containers, shown_labels
from pycompose.state.volumes import observed_volumes, volume_strangers
from pycompose.supervisor.adoption import Adoption
from pycompose.supervisor.api_sockets import ApiSockets
from pycompose.supervisor.auto_remove import AutoRemove
from pycompose.supervisor.background_watcher import BackgroundWatcher
from pycompose.supervisor.container_events import ContainerEvents
from pycompose.supervisor.keepers import Keepers
from pycompose.supervisor.lifecycle.exec import ExecRunner
from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
from pycompose.supervisor.network.wiring import Wiring
from pycompose.supervisor.operations import Operations
from pycompose.supervisor.owners import ProjectOwners
from pycompose.supervisor.runtime.containers import Runtime
from pycompose.supervisor.stdio import StdioCopies
from pycompose.supervisor.tasks import BackgroundTasks
from pycompose.supervisor.threads import Together, blocking
from pycompose.supervisor.watcher import WatcherSeat
from pycompose.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from pycompose.engine.api import EngineEvent
    from pycompose.engine.images.spec import Image
    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink
    from pycompose.model import Project
    from pycompose.policy.observed import ObservedContainer
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer

log = logging.getLogger("pycompose.supervisor")


class ManagedProject:
    """The parts of one project, one change of it at a time, and what it looks like now.

    `check_idle` is called whenever there may be nothing left to stay for; `finished` is set when there isn't.
    """

    def __init__(self, paths: StatePaths, name: str, check_idle: Callable[[], None]) -> None:
        self.paths = paths
        self.name = name
        self.loop = asyncio.get_running_loop()
        self.finished = asyncio.Event()
        self.tasks = BackgroundTasks(check_idle)
        self.events = ContainerEvents(paths.project(name) / "events.jsonl")
        self.wiring = Wiring(paths, name, Networking(paths), self.loop)
        self.api_sockets = ApiSockets(paths, self.loop)
        self.runtime = Runtime(paths, name, self.wiring, VERSION, self.api_sockets)
        self.execs = ExecRunner(self.runtime, self._exec_event)
        self.watcher = WatcherSeat()
        self.background_watcher = BackgroundWatcher(paths, name, self.watcher)
        self.lifecycle = Lifecycle(self.runtime, self.execs, self._publish, self.watcher.before_start)
        self.keepers = Keepers(self.runtime, self.engine_event, self.tasks.start)
        self.auto_remove = AutoRemove(self._remove, self.tasks)
        self.owners = ProjectOwners(paths, name, self.loop, self._orphaned)
        # What is done when the last owner has died; the dispatcher knows how.
        self.take_down_orphan: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._stdio = StdioCopies(self.runtime)
        self.adoption = Adoption(
            self.runtime,
            self.wiring,
            self.lifecycle,
            self._stdio,
            exited=self._exited,
            ended=self.auto_remove.ended,
        )
        self._check_idle = check_idle
        self._lock = asyncio.Lock()
        self._removals: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._interruptible: asyncio.Task[Any] | None = None

    # ------------------------------------------------------------------ one change at a time

    @contextlib.asynccontextmanager
    async def exclusive(
        self, *, interrupts: bool = False, interruptible: bool = False
    ) -> AsyncIterator[None]:
        """Hold the project for the block. Cancels a holder that only builds up when this one takes down."""
        if interrupts:
            self.interrupt()
        async with self._lock:
            await self.sync()
            if interruptible:
                self._interruptible = asyncio.current_task()
            try:
                yield
            finally:
                self._interruptible = None

    @contextlib.asynccontextmanager
    async def stopping(self) -> AsyncIterator[None]:
        """Hold the project for the block, in which containers of it are given time to end.

        Those apart from any project hold up nobody: each has a lock of its own (`TrackedContainer.lock`).
        """
        if self.name == STANDALONE:
            async with self.exclusive():
                pass  # so that what has just been made is known
            yield
        else:
            async with self.exclusive(interrupts=True):
                yield

    def interrupt(self) -> None:
        """Cancel an operation that builds up; one that takes down goes on, and one on others' containers."""
        if self._interruptible is not None and self.name != STANDALONE:
            self._interruptible.cancel()

    async def sync(self) -> None:
        """Track the containers on disk that aren't tracked yet, and clear away what never became one."""
        await self.adoption.sync()

    def finish_after_down(self) -> bool:
        """End now if the project is down; whoever asked is told by the end of the connection."""
        if self.lifecycle.tracked or self.tasks.others_busy:
            return False
        self.finished.set()
        return True

    # ------------------------------------------------------------------ looking

    async def observe(self, *, strangers: bool = False, hooks: bool = False) -> Observed:
        """Return a snapshot of the project; with `strangers` and `hooks` it has what few plans ask for (Observed)."""
        containers, broken = await blocking(observe_containers, self.paths, self.name)
        # Looked at in one go, after the files: who is between two runs now is active.
        tracked = self.lifecycle.tracked
        containers = [_as_tracked(c, tracked[c.id]) if c.id in tracked else c for c in containers]
        return Observed(
            project=self.name,
            containers=tuple(containers),
            networks=await blocking(self.wiring.observed_networks),
            volumes=await blocking(observed_volumes, self.paths),
            volumes_root=str(self.paths.volumes),
            strangers=await blocking(volume_strangers, self.paths, self.name) if strangers else {},
            broken=tuple(broken),
            hooks_done=await blocking(hooks_done, self.paths, self.name) if hooks else frozenset(),
        )

    def chosen(
        self, services: Sequence[str], ids: Sequence[str] = (), *, oneoffs: bool = False
    ) -> list[TrackedContainer]:
        """Return the tracked containers of `ids` or of the services, of all for none named."""
        tracked = self.lifecycle.tracked.values()
        if ids:
            return [t for t in tracked if t.config.id in ids]
        if not services:
            return [t for t in tracked if oneoffs or not t.record.oneoff]
        kinds = (False, True) if oneoffs else (False,)
        of_service = self.lifecycle.of_service
        return [t for service in services for kind in kinds for t in of_service(service, oneoff=kind)]

    def replica(self, service: str, index: int, container_id: str = "") -> TrackedContainer:
        """Return the running container of a service with number `index` (lowest for 0), or with this id."""
        found = self.lifecycle.of_service(service)
        if container_id:
            found = [t for t in self.lifecycle.tracked.values() if t.config.id == container_id]
        elif index:
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

    # ------------------------------------------------------------------ changing

    def operations(
        self,
        sink: Sink,
        project: Project | None = None,
        images: dict[str, Image] | None = None,
        *,
        hook_output: bool = False,
    ) -> Operations:
        """Return what performs a plan and tells `sink`, with `hook_output` also what hooks print."""
        return Operations(
            runtime=self.runtime,
            wiring=self.wiring,
            lifecycle=self.lifecycle,
            need_keeper=self.keepers.ensure,
            sink=sink,
            network_creations=Together(self.wiring.ensure_networks),
            network_removals=Together(self.wiring.remove_networks),
            discards=Together(self.runtime.discard),
            removals=self._removals,
            project=project,
            images=images or {},
            losses=self.runtime.losses,
            hook_output=hook_output,
        )

    def _orphaned(self) -> None:
        """Take the project down: whoever had it is dead."""
        if self.take_down_orphan is not None and not self.finished.is_set():
            self.tasks.start(self.take_down_orphan())

    async def _remove(self, container_id: str) -> None:
        await self.operations(lambda _: None).remove(container_id, volumes=True)

    # ------------------------------------------------------------------ being told

    def engine_event(self, event: EngineEvent) -> None:
        """Take what the engine tells; may be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._keeper_event, event)

    def _keeper_event(self, event: EngineEvent) -> None:
        match event:
            case ContainerExited():
                self._exited(event)
                self._check_idle()
            case ExecExited():
                self.execs.exited(event)
            case EngineGone() if not self.finished.is_set():
                self.keepers.replace(self.adoption.catch_up)
                self.execs.fail_all()

    def _exited(self, event: ContainerExited) -> None:
        """Take the end of a container; of one whose start nobody has heard of, after that."""
        tracked = self.lifecycle.tracked.get(event.container)
        if tracked is not None and tracked.starting:
            tracked.deferred_exit = functools.partial(self._exited, event)
            return
        self.lifecycle.exited(event)
        if tracked is not None:
            self._stdio.drop(tracked.config.id)
            self.auto_remove.ended(tracked)

    def _exec_event(self, container_id: str, action: str, attributes: dict[str, str], kept: bool) -> None:  # noqa: FBT001
        """Tell of a command in a container; those of health checks are only for who listens now."""
        tracked = self.lifecycle.tracked.get(container_id)
        if tracked is not None and (kept or self.events.subscribers):
            self.lifecycle.tell(action, tracked, attributes, kept=kept)

    def _publish(
        self, action: str, tracked: TrackedContainer, attributes: dict[str, str], *, kept: bool = True
    ) -> None:
        """Tell of what has happened to a container; what was typed in a command, and its labels, are not logged."""
        if not action.startswith("exec_"):
            labels = shown_labels(tracked.config)
            own = {key: value for key, value in attributes.items() if labels.get(key) != value}
            log.info("container %s: %s %s", tracked.name, action, own or "")
        if action == "start" and self._stdio.needs_copies(tracked):
            self.tasks.start(self._stdio.copy(tracked))
        self.events.publish(
            ContainerEvent(
                time_ns=time.time_ns(),
                action=action,
                id=tracked.config.id,
                name=tracked.name,
                service=tracked.service,
                number=tracked.record.number,
                oneoff=tracked.record.oneoff,
                image=tracked.config.image,
                active=tracked.expected,
                attributes=attributes,
            ),
            kept=kept,
        )


def _as_tracked(container: ObservedContainer, tracked: TrackedContainer) -> ObservedContainer:
    """Return what the files tell of a container, and what only the supervisor knows."""
    return replace(
        container,
        active=tracked.active,
        stopped=tracked.stopped,
        stopping=tracked.stopping,
        runs=tracked.starts,
        definition=tracked.record.service,
        takes_over=tracked.record.takes_over,
        auto_remove=tracked.record.auto_remove,
    )
