"""What clients of the control socket can ask for: the table of operations, and how they get along.

Operations that change something hold the project one after the other. `down`, `stop`, `kill` and `rm` don't queue
behind an `up` that waits for something: they interrupt it first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import KeeperLost, NoSuchContainer, PycomposeError, StateError
from pycompose.engine.state import Status
from pycompose.ipc.retry import REPEATABLE
from pycompose.policy.observed import Observed
from pycompose.state.snapshot import observe_containers
from pycompose.supervisor.handlers.container import Altering
from pycompose.supervisor.handlers.network import Joining
from pycompose.supervisor.handlers.project import Changes
from pycompose.supervisor.handlers.session import Interactive
from pycompose.supervisor.logfile import Journal
from pycompose.supervisor.operations import Operations
from pycompose.supervisor.threads import blocking
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from pycompose.engine.images.spec import Image
    from pycompose.events import Sink
    from pycompose.ipc.protocol import Message
    from pycompose.ipc.server import Peer
    from pycompose.model import Project
    from pycompose.supervisor.lifecycle.tracked import Tracked
    from pycompose.supervisor.main import Supervisor

JOURNAL_BYTES = 1024 * 1024
RECENT_EVENTS = 2000


class Requests:
    """The operations of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._lock = asyncio.Lock()
        self._interruptible: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT_EVENTS)
        journal = supervisor.paths.project(supervisor.project) / "events.jsonl"
        self._journal = Journal(journal, JOURNAL_BYTES)
        changes = Changes(self)
        self._interactive = Interactive(self, changes)
        joining = Joining(self)
        altering = Altering(self)
        self._handlers = {
            "apply": changes.apply,
            "down": changes.down,
            "start": changes.start,
            "stop": changes.stop,
            "restart": changes.restart,
            "kill": changes.kill,
            "rm": changes.rm,
            "pause": changes.pause,
            "connect": joining.connect,
            "disconnect": joining.disconnect,
            "rename": altering.rename,
            "update": altering.update,
            "hold": self.hold,
            "exec": self._interactive.exec,
            "attach": self._interactive.attach,
            "run": self._interactive.run,
            "launch": self._interactive.launch,
            "rejoin": self._interactive.rejoin,
            "wait": self._interactive.wait,
            "subscribe": self._interactive.subscribe,
            "neighbours": self._interactive.neighbours,
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
            self.supervisor.check_idle()

        task.add_done_callback(done)
        return task

    async def cancelled(self) -> None:
        """Cancel whatever is under way, and wait until it has ended."""
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def handle(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Perform the operation of `message`; raises PycomposeError."""
        handler = self._handlers.get(str(message["op"]))
        if handler is None:
            raise StateError(f"control socket: unknown operation {message['op']!r}")
        await self.supervisor.keepers.settled()
        runtime = self.supervisor.runtime
        losses = runtime.losses
        try:
            await handler(peer, message, fds)
        except PycomposeError as exc:
            # Whatever has failed, it has failed because of that.
            if runtime.losses != losses and message["op"] in REPEATABLE and not isinstance(exc, KeeperLost):
                raise KeeperLost(exc.message, hint=exc.hint) from exc
            raise

    def during(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal, leave."""
        self._interactive.during(peer, message, fds)

    def ended(self, tracked: Tracked) -> None:
        """Take the end of a container."""
        self._interactive.ended(tracked)

    def journal(self, event: dict[str, Any]) -> None:
        """Remember an event for subscribers to come, and in the project's journal, which `events --since` reads."""
        self.recent.append(event)
        self._journal.append(event)

    # ------------------------------------------------------------------ for the operations

    @contextlib.asynccontextmanager
    async def exclusive(
        self, *, interrupts: bool = False, interruptible: bool = False
    ) -> AsyncIterator[None]:
        """Hold the project for the block. Cancels a holder that only builds up when this one takes down."""
        if interrupts:
            self.interrupt()
        async with self._lock:
            await self.supervisor.sync()
            if interruptible:
                self._interruptible = asyncio.current_task()
            try:
                yield
            finally:
                self._interruptible = None

    async def hold(self, peer: Peer, _message: Message, _: list[int]) -> None:
        """Keep everybody else from changing the project until the client hangs up, which cancels this."""
        async with self.exclusive():
            peer.send({"result": {}})
            await asyncio.Event().wait()

    def interrupt(self) -> None:
        """Cancel an operation that builds up; one that takes down goes on."""
        if self._interruptible is not None:
            self._interruptible.cancel()

    async def observe(self) -> Observed:
        """Return a snapshot of the project."""
        supervisor = self.supervisor
        containers, broken = await blocking(observe_containers, supervisor.paths, supervisor.project)
        # Looked at in one go, after the files: who is between two runs now is active.
        active = {key for key, tracked in supervisor.lifecycle.tracked.items() if tracked.active}
        containers = [replace(c, active=True) if c.id in active else c for c in containers]
        volumes = {volume.name for volume in await blocking(VolumeStore(supervisor.paths).all)}
        return Observed(
            project=supervisor.project,
            containers=tuple(containers),
            networks=await blocking(supervisor.wiring.network_hashes),
            volumes=frozenset(volumes),
            broken=tuple(broken),
        )

    def operations(
        self, sink: Sink, project: Project | None = None, images: dict[str, Image] | None = None
    ) -> Operations:
        """Return what performs a plan and tells `sink`."""
        supervisor = self.supervisor
        return Operations(
            runtime=supervisor.runtime,
            wiring=supervisor.wiring,
            lifecycle=supervisor.lifecycle,
            need_keeper=supervisor.keepers.need,
            sink=sink,
            project=project,
            images=images or {},
            losses=supervisor.runtime.losses,
        )

    def chosen(
        self, services: list[str], ids: list[str] | None = None, *, oneoffs: bool = False
    ) -> list[Tracked]:
        """Return the tracked containers of `ids` or of the services, of all for none named."""
        lifecycle = self.supervisor.lifecycle
        if ids:
            return [t for t in lifecycle.tracked.values() if t.config.id in ids]
        if not services:
            return [t for t in lifecycle.tracked.values() if oneoffs or not t.record.oneoff]
        kinds = (False, True) if oneoffs else (False,)
        return [
            t for service in services for kind in kinds for t in lifecycle.of_service(service, oneoff=kind)
        ]

    def replica(self, service: str, index: int, container_id: str = "") -> Tracked:
        """Return the running container of a service with number `index` (lowest for 0), or with this id."""
        found = self.supervisor.lifecycle.of_service(service)
        if container_id:
            found = [t for t in self.supervisor.lifecycle.tracked.values() if t.config.id == container_id]
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
