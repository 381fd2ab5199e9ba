"""The containers of one project while they live: exits, restarts, health, and everybody who waits for them.

All of it runs on the supervisor's event loop; what blocks is done by runtime/ on threads. State is a claim here too:
`adopt` builds it from the files of containers that an earlier supervisor left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError, NoSuchContainer, PycomposeError, StorageError
from pycompose.engine.linux.process import signal_handled
from pycompose.engine.state import Status
from pycompose.model import STOP_WAIT
from pycompose.policy.health import HealthState
from pycompose.policy.restart import RestartState, after_exit
from pycompose.state.snapshot import shown_labels
from pycompose.supervisor.lifecycle.conditions import PAUSE_PATIENCE_S, Conditions
from pycompose.supervisor.lifecycle.hooks import HookFailed, Told, post_start, pre_stop
from pycompose.supervisor.lifecycle.probes import HealthMonitor
from pycompose.supervisor.lifecycle.tracked import TrackedContainer
from pycompose.supervisor.threads import Together, blocking, shielded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from pycompose.engine.api import ContainerExited
    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.state import ContainerState
    from pycompose.state.records import ServiceRecord
    from pycompose.supervisor.lifecycle.exec import ExecRunner
    from pycompose.supervisor.runtime.containers import Runtime

log = logging.getLogger(__name__)

KILL_WAIT_S = 30.0
END_POLL_S = 0.02
# Exit code of what ends with its container, and how much later than of that we may hear of the container's end.
KILLED = 137
NEWS_S = 2.0


class Lifecycle:
    """All tracked containers of the project."""

    def __init__(
        self,
        runtime: Runtime,
        execs: ExecRunner,
        told: Callable[..., None],
        before_start: Callable[[TrackedContainer], Awaitable[None]],
    ) -> None:
        """`told` is called with what happens; `before_start` may still change a container's files."""
        self._runtime = runtime
        self._execs = execs
        self._told = told
        self._before_start = before_start
        self.conditions = Conditions(runtime, self.of_service)
        self._health_monitor = HealthMonitor(
            runtime,
            execs,
            self.conditions,
            self._health_changed,
            lambda tracked: self._spawn(self._restart_unhealthy(tracked)),
        )
        # A hundred containers that end at the same time wait for the kernel once.
        self._endings = Together(runtime.ended)
        # Those that are to end at the same time hear of it from one thread: each on its own, the threads would wait
        # for each other, and for the keeper, hundreds of times.
        self._marks = Together(runtime.mark_stopped)
        self._signals = Together(runtime.signal)
        self._background: set[asyncio.Task[None]] = set()
        self.tracked: dict[str, TrackedContainer] = {}

    # ------------------------------------------------------------------ looking

    def of_service(self, service: str, *, oneoff: bool = False) -> list[TrackedContainer]:
        """Return the service's containers, by number."""
        found = [t for t in self.tracked.values() if t.service == service and t.record.oneoff == oneoff]
        return sorted(found, key=lambda t: t.record.number)

    @property
    def anything_active(self) -> bool:
        """Whether some container runs or will."""
        return any(t.active for t in self.tracked.values())

    # ------------------------------------------------------------------ coming and going

    def add(self, config: ContainerConfig, record: ServiceRecord) -> TrackedContainer:
        """Track a container that has just been created."""
        tracked = self.tracked[config.id] = TrackedContainer(config=config, record=record)
        self.tell("create", tracked, {})
        return tracked

    def adopt(
        self, config: ContainerConfig, record: ServiceRecord, state: ContainerState, *, stopped: bool
    ) -> None:
        """Track a container that was there before this supervisor."""
        tracked = TrackedContainer(config=config, record=record, status=state.status, stopped=stopped)
        tracked.pid, tracked.exit_code, tracked.started_ns = state.pid, state.exit_code, state.started_ns
        tracked.restart = RestartState(total=state.restart_count)
        self.tracked[config.id] = tracked
        if state.status in (Status.RUNNING, Status.PAUSED):
            tracked.started_s = time.monotonic() - max(0.0, (time.time_ns() - state.started_ns) / 1e9)
            self._begin_health(tracked)
        else:
            tracked.ended.set()
            if state.status is Status.EXITED:
                self._after_exit(tracked, self._decide(tracked))

    def untrack(self, container_id: str) -> None:
        """Stop tracking a container that is being removed."""
        tracked = self.tracked.pop(container_id, None)
        if tracked is not None:
            self._cancel(tracked)
            tracked.begun.set()  # who is attached to what was never started waits no longer
            tracked.ended.set()
            self.tell("destroy", tracked, {})
            self.conditions.notify_all()

    async def rename(self, tracked: TrackedContainer, name: str) -> None:
        """Give a container another name; raises AlreadyExists, EngineError."""
        old = tracked.name
        tracked.config = await blocking(self._runtime.rename, tracked.config, name)
        self.tell("rename", tracked, {"oldName": f"/{old}"})

    async def start(self, tracked: TrackedContainer, told: Told | None = None) -> None:
        """Start a container and run its post_start hooks; raises what the engine or a hook says.

        `told` gets the lines that hooks print, here and in `stop`.
        """
        await self.launch(tracked)
        await post_start(self._execs, tracked, told)

    async def launch(self, tracked: TrackedContainer) -> None:
        """Start a container and nothing else; raises what the engine says."""
        self._cancel(tracked)
        await shielded(self._launch(tracked, again=False))

    async def accompany(self, tracked: TrackedContainer) -> PycomposeError | None:
        """Run the post_start hooks of a container that isn't there to serve; return what went wrong with one.

        Such a container may have done its work before its hooks have begun: they have failed at nothing then.
        """
        try:
            await post_start(self._execs, tracked)
        except PycomposeError as exc:
            if isinstance(exc, HookFailed) and exc.status != KILLED:
                return exc
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tracked.ended.wait(), NEWS_S)
            return None if tracked.ended.is_set() else exc
        return None

    async def _launch(self, tracked: TrackedContainer, *, again: bool) -> None:
        """Start a container and take note of it, one with the other.

        `again` is a restart of its own accord, which a stop that came first makes void.
        """
        async with tracked.lock:
            await self.cleaned_up(tracked)
            if again and tracked.stopped:
                return
            await self._before_start(tracked)
            tracked.stopped = False
            tracked.starts += 1
            tracked.ended.clear()
            tracked.pid = 0  # so that nobody takes the end of the last run for one of this
            tracked.health = None
            tracked.starting, tracked.deferred_exit = True, None
            try:
                config, state = await blocking(
                    self._runtime.start, tracked.config, tracked.record, tracked.restart.total
                )
            except BaseException as exc:
                tracked.starting = False
                if not isinstance(exc, PycomposeError):
                    raise
                if tracked.status is Status.RESTARTING:
                    tracked.move(Status.EXITED)
                tracked.ended.set()
                await self._endings.do((tracked.config.id, True))
                self.conditions.notify_all()
                raise
            if (
                config.process != tracked.config.process
            ):  # what is executed in it later gets the same variables
                tracked.config = replace(tracked.config, process=config.process)
            tracked.pid = state.pid
            tracked.started_s = time.monotonic()
            tracked.started_ns = state.started_ns
            tracked.warnings = state.warnings
            if not tracked.ended.is_set():
                tracked.move(Status.RUNNING)
                self._begin_health(tracked)
            tracked.begun.set()
            tracked.begun = asyncio.Event()
            self.tell("start", tracked, {})
            self.conditions.notify_all()
            tracked.starting = False
            if tracked.deferred_exit is not None:
                tracked.deferred_exit()

    async def stop(
        self,
        tracked: TrackedContainer,
        timeout_s: float | None,
        told: Told | None = None,
        *,
        signal_number: int = 0,
    ) -> None:
        """Stop a container: its signal, its grace period, then SIGKILL to the whole cgroup.

        Process 1 of a pid namespace ignores signals it has no handler for (pid_namespaces(7)), so waiting for it to
        react would be waiting for nothing: unless the service has `x-stop-wait`, it is killed at once.
        """
        tracked.stopped = True
        self._cancel(tracked, keep_health=True)
        async with tracked.lock:
            await self._end(tracked, timeout_s, told, signal_number)

    async def withdraw_stop(self, tracked: TrackedContainer) -> None:
        """Take back that a container was to stop, which has not got its signal: it is wanted again."""
        if tracked.active and tracked.stopped:
            tracked.stopped = False
            await blocking(self._runtime.mark_wanted, tracked.config.id)

    @contextlib.asynccontextmanager
    async def keeping_networks(self, container_ids: Iterable[str]) -> AsyncIterator[None]:
        """Keep the networks of containers that end in the block, for they are to be started again in it.

        The network of one that hasn't come back is taken down at the end.
        """
        found = [self.tracked[container_id] for container_id in container_ids if container_id in self.tracked]
        for tracked in found:
            tracked.keeps_network = True
        try:
            yield
        finally:
            await shielded(self._release_networks(found))

    async def _release_networks(self, found: list[TrackedContainer]) -> None:
        for tracked in found:
            tracked.keeps_network = False
            async with tracked.lock:
                await self.cleaned_up(tracked)
                if not tracked.active and tracked.config.id in self.tracked:
                    await self._endings.do((tracked.config.id, tracked.stopped))
                    # After all: its end was told as the beginning of a restart.
                    self.tell("stop", tracked, {})

    async def ensure_stopped(self, tracked: TrackedContainer) -> None:
        """Wait for what is under way and end what runs all the same: a restart may have come after the plan."""
        tracked.stopped = True
        self._cancel(tracked)
        async with tracked.lock:
            await self._end(tracked, 0)
            await self.cleaned_up(tracked)

    async def _end(
        self,
        tracked: TrackedContainer,
        timeout_s: float | None,
        told: Told | None = None,
        signal_number: int = 0,
    ) -> None:
        tracked.stopped = True
        if tracked.status is Status.RESTARTING:
            # Else it might be written down as restarting after it is as stopped.
            await self.cleaned_up(tracked)
            tracked.move(Status.EXITED)
            await self._mark_stopped(tracked)
            await self._endings.do((tracked.config.id, True))
            self.conditions.notify_all()
            self.tell("stop", tracked, {})
        if tracked.status not in (Status.RUNNING, Status.PAUSED):
            return
        await pre_stop(self._execs, tracked, told)
        await self._mark_stopped(tracked)
        config = tracked.config
        number = signal_number or config.stop_signal
        if tracked.status is Status.PAUSED:
            await self.unpause(tracked)
        own_pid_namespace = config.namespaces.pid == "private"
        deaf = (
            not tracked.record.service.extensions.get(STOP_WAIT)
            and own_pid_namespace
            and not config.process.init
            and not signal_handled(tracked.pid, number)
        )
        grace_s = config.stop_grace_s if timeout_s is None else timeout_s
        tracked.stopping = True
        try:
            if not deaf and grace_s > 0:
                self.tell("kill", tracked, {"signal": str(number)})
                failure = await self._signals.do((config.id, number))
                if failure is not None and not isinstance(failure, NoSuchContainer):  # that has just ended
                    raise failure
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(tracked.ended.wait(), grace_s)
            if not tracked.ended.is_set():
                await self._kill(tracked)
        except PycomposeError:
            tracked.stopping = False  # as far as anybody knows
            raise
        await self.cleaned_up(tracked)
        self.tell("stop", tracked, {})

    async def kill_unexpected(self, tracked: TrackedContainer) -> None:
        """Kill a container that runs although its start failed: its keeper died before it could tell of the success.

        Its network has been taken down by then, and whoever asked for the start has been told that it failed.
        """
        async with tracked.lock:
            await self.cleaned_up(tracked)
            if tracked.status in (Status.RUNNING, Status.PAUSED):
                return
            log.warning("container %s: its start failed, but it runs: killing it", tracked.name)
            with contextlib.suppress(NoSuchContainer):
                await blocking(self._runtime.keeper.kill, tracked.config.id)
            # Its end is no news (`exited` passes over it), so there is nothing to wait on but the keeper's list.
            deadline_s = time.monotonic() + KILL_WAIT_S
            while time.monotonic() < deadline_s:
                if all(e["id"] != tracked.config.id for e in await blocking(self._runtime.keeper.list)):
                    return
                await asyncio.sleep(END_POLL_S)

    async def _kill(self, tracked: TrackedContainer) -> None:
        self.tell("kill", tracked, {"signal": str(int(signal.SIGKILL))})
        with contextlib.suppress(NoSuchContainer):
            await blocking(self._runtime.keeper.kill, tracked.config.id)
        try:
            await asyncio.wait_for(tracked.ended.wait(), KILL_WAIT_S)
        except TimeoutError:
            raise EngineError(
                f"container {tracked.name}: cannot stop: still there {KILL_WAIT_S:.0f} s after SIGKILL",
                hint="a process of it hangs inside the kernel (state D); see `ps axo pid,stat,wchan:30,cmd`",
            ) from None

    async def signal(self, tracked: TrackedContainer, number: int) -> None:
        """Send a signal to process 1; SIGKILL goes to all processes."""
        # Docker's rule: a kill is the end, unless the container has a stop signal and this is another one.
        service = tracked.record.service
        ends = number == signal.SIGKILL or not service.stop_signal or number == tracked.config.stop_signal
        if tracked.status is Status.RESTARTING and ends:
            await self.stop(tracked, 0)
        if tracked.status not in (Status.RUNNING, Status.PAUSED):
            return
        if ends:
            tracked.stopped = True
            await self._mark_stopped(tracked)
        if number == signal.SIGKILL:
            await self._kill(tracked)
        else:
            self.tell("kill", tracked, {"signal": str(number)})
            await blocking(self._runtime.keeper.signal, tracked.config.id, number)

    async def _mark_stopped(self, tracked: TrackedContainer) -> None:
        """Write down that the end was asked for; a disk that is full must not keep anybody from stopping."""
        try:
            await self._marks.do(tracked.config.id)
        except StorageError as exc:
            log.warning("container %s: %s", tracked.name, exc)

    async def pause(self, tracked: TrackedContainer) -> None:
        """Freeze all processes of a running container."""
        if tracked.status is Status.RUNNING:
            await blocking(self._runtime.keeper.pause, tracked.config.id)
            tracked.move(Status.PAUSED)
            tracked.paused_s = time.monotonic()
            self.tell("pause", tracked, {})
            self.conditions.notify_all()
            asyncio.get_running_loop().call_later(PAUSE_PATIENCE_S, self.conditions.notify_all)

    async def unpause(self, tracked: TrackedContainer) -> None:
        """Let a paused container go on."""
        if tracked.status is Status.PAUSED:
            await blocking(self._runtime.keeper.unpause, tracked.config.id)
            tracked.move(Status.RUNNING)
            self.tell("unpause", tracked, {})
            self.conditions.notify_all()

    def exited(self, event: ContainerExited) -> None:
        """Take the keeper's word that process 1 of a container has ended, unless that was known from the files."""
        tracked = self.tracked.get(event.container)
        if tracked is None or tracked.ended.is_set():
            return
        tracked.exit_code = event.exit_code
        tracked.stopping = False
        tracked.ended.set()
        if tracked.health_task is not None:
            tracked.health_task.cancel()
            tracked.health_task = None
        delay_s = self._decide(tracked)
        if event.oom_killed:
            self.tell("oom", tracked, {})
        ran_s = (time.time_ns() - tracked.started_ns) // 1_000_000_000 if tracked.started_ns else 0
        attributes = {"execDuration": str(ran_s), "exitCode": str(tracked.exit_code)}
        if delay_s is not None:
            attributes["restarting"] = "true"
        self._after_exit(tracked, delay_s, lambda: self.tell("die", tracked, attributes))

    def restarted(self, tracked: TrackedContainer) -> None:
        """Tell that a container has been restarted because somebody wanted it."""
        self.tell("restart", tracked, {})

    # ------------------------------------------------------------------ inside

    def tell(
        self, action: str, tracked: TrackedContainer, attributes: dict[str, str], *, kept: bool = True
    ) -> None:
        """Tell of an event; its attributes are its own and the container's labels, as Docker has it."""
        labels = shown_labels(tracked.config)
        labels = {key: value for key, value in labels.items() if key != "restarting"}  # an attribute of ours
        self._told(action, tracked, {**labels, **attributes}, kept=kept)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def _cancel(self, tracked: TrackedContainer, *, keep_health: bool = False) -> None:
        """Cancel what waits for its time: the next start, the next probe."""
        if tracked.restart_task is not None:
            tracked.restart_task.cancel()
            tracked.restart_task = None
        if tracked.health_task is not None and not keep_health:
            if tracked.health_task is not asyncio.current_task():
                tracked.health_task.cancel()
            tracked.health_task = None

    def _decide(self, tracked: TrackedContainer) -> float | None:
        """Set the status after an exit; return the seconds until the next start, None without one."""
        ran_s = time.monotonic() - tracked.started_s if tracked.started_s else 0.0
        tracked.restart, delay_s = after_exit(
            tracked.record.service.restart,
            tracked.restart,
            exit_code=tracked.exit_code,
            ran_s=ran_s,
            stopped=tracked.stopped,
        )
        if tracked.status is not Status.EXITED:
            tracked.move(Status.EXITED)
        if delay_s is not None:
            tracked.move(Status.RESTARTING)
        return delay_s

    def _after_exit(
        self, tracked: TrackedContainer, delay_s: float | None, tell: Callable[[], None] | None = None
    ) -> None:
        """Restart later, or take down what only a running container needs.

        `tell` tells of the exit: of one that a start follows when that is written down, for who hears of it looks
        whether he should wait for more (Docker Compose's `up` does).
        """
        again = delay_s is not None or tracked.keeps_network
        if again:
            work = blocking(
                self._runtime.mark_restarting,
                tracked.config.id,
                tracked.restart.total,
                stopped=tracked.stopped,
            )
        else:
            work = self._endings.do((tracked.config.id, tracked.stopped))
        if delay_s is not None:
            tracked.restart_task = self._spawn(self._restart(tracked, delay_s))
        if tell is not None and not again:
            tell()
        tracked.cleanup = self._spawn(self._clean_up(tracked, work, tell if again else None))
        self.conditions.notify_all()

    async def _clean_up(
        self, tracked: TrackedContainer, work: Awaitable[object], tell: Callable[[], None] | None
    ) -> None:
        """Do what follows an exit, then tell of it; what can't be done is done by whoever removes the container."""
        try:
            await work
        except PycomposeError as exc:
            log.warning("container %s: cannot clean up: %s", tracked.name, exc)
        finally:
            if tell is not None:
                tell()

    async def cleaned_up(self, tracked: TrackedContainer) -> None:
        """Wait until what follows an exit has been done, so that nothing takes down what a new start sets up."""
        if tracked.cleanup is not None:
            await asyncio.wait([tracked.cleanup])
            tracked.cleanup = None

    async def _restart(self, tracked: TrackedContainer, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        tracked.restart_task = None  # from here on it isn't cancelled, but told to stop
        try:
            await shielded(self._launch(tracked, again=True))
        except PycomposeError as exc:
            log.warning("container %s: cannot restart: %s", tracked.name, exc)
            tracked.exit_code = exc.exit_code if exc.exit_code > 1 else 128
            tracked.started_s = 0.0
            self._after_exit(tracked, self._decide(tracked))
            return
        if tracked.stopped:
            return
        try:
            await post_start(self._execs, tracked)
        except (
            PycomposeError
        ) as exc:  # there is nobody whose command could fail; the container runs all the same
            log.warning("%s", exc)
        self.tell("restart", tracked, {})

    def _begin_health(self, tracked: TrackedContainer) -> None:
        if tracked.record.health is not None:
            tracked.health = HealthState()
            tracked.health_task = self._spawn(self._health_monitor.run(tracked))

    def _health_changed(self, tracked: TrackedContainer, state: HealthState) -> None:
        self.tell(f"health_status: {state.status}", tracked, {})
        self.conditions.notify_all()

    async def _restart_unhealthy(self, tracked: TrackedContainer) -> None:
        """Restart an unhealthy container, where `x-restart-on: unhealthy` asks for it."""
        log.warning("container %s is unhealthy: restarting it", tracked.name)
        try:
            await blocking(self._runtime.check_room, [tracked.config.id])
        except StorageError as exc:
            log.warning("container %s: cannot restart: %s", tracked.name, exc)
            self._begin_health(tracked)
            return
        await self.stop(tracked, None)
        if tracked.config.id not in self.tracked:
            return
        tracked.restart = replace(tracked.restart, total=tracked.restart.total + 1)
        try:
            await self.start(tracked)
        except PycomposeError as exc:
            log.warning("container %s: cannot restart: %s", tracked.name, exc)
        else:
            self.tell("restart", tracked, {})
