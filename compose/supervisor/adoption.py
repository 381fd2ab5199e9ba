"""Taking over what runs, from a supervisor or from a keeper that has died."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pycompose.engine.api import ContainerExited
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status, read_state
from pycompose.state.records import read_runtime, read_service
from pycompose.state.snapshot import claims, observe_containers
from pycompose.supervisor.lifecycle.start_first import ReplacementStart
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.policy.observed import ObservedContainer, RuntimeRecord
    from pycompose.state.records import ServiceRecord
    from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.network.wiring import Wiring
    from pycompose.supervisor.runtime.containers import Runtime
    from pycompose.supervisor.stdio import StdioCopies

log = logging.getLogger("pycompose.supervisor")


class Adoption:
    """Brings what the supervisor knows in line with what the files and /proc say.

    `exited` takes the end of a container as the keeper tells of it, `ended` that of one that had ended before.
    """

    def __init__(
        self,
        runtime: Runtime,
        wiring: Wiring,
        lifecycle: Lifecycle,
        stdio: StdioCopies,
        *,
        exited: Callable[[ContainerExited], None],
        ended: Callable[[TrackedContainer], None],
    ) -> None:
        self._runtime = runtime
        self._wiring = wiring
        self._lifecycle = lifecycle
        self._stdio = stdio
        self._exited = exited
        self._ended = ended

    async def sync(self) -> None:
        """Track the containers on disk that aren't tracked yet, and clear away what never became one."""
        runtime = self._runtime
        paths, project = runtime.paths, runtime.project
        known = set(self._lifecycle.tracked)
        if not set(claims(paths, project)) - known:
            return
        containers, broken = await blocking(observe_containers, paths, project)
        for container_id in broken:
            log.info("container %s was never finished: removing it", container_id[:12])
            await blocking(runtime.remove, container_id, volumes=True)
        fresh = [container for container in containers if container.id not in known]
        for container in fresh:
            await blocking(runtime.claims.keep, container.id, container.name)
        records = {c.id: (read_service(paths, c.id), read_runtime(paths, c.id)) for c in fresh}
        running = [(c.config, *records[c.id]) for c in fresh if c.running]
        await blocking(self._wiring.adopt_containers, running)
        await blocking(runtime.adopt_running, [config for config, _, _ in running])
        for container in fresh:
            await self._adopt(container, *records[container.id])
        for container in containers:
            if container.half_way and container.replaces not in self._lifecycle.tracked:
                await self._finish_replacement(self._lifecycle.tracked[container.id])

    async def _adopt(
        self, container: ObservedContainer, record: ServiceRecord, runtime: RuntimeRecord
    ) -> None:
        # Read now: while nobody tracked it, the end of it was told to nobody.
        state = read_state(self._runtime.paths, container.id)
        self._lifecycle.adopt(container.config, record, state, stopped=runtime.stopped)
        tracked = self._lifecycle.tracked[container.id]
        if state.status is Status.EXITED:
            self._ended(tracked)
        elif tracked.active and self._stdio.needs_copies(tracked):
            await self._stdio.copy(tracked)

    async def _finish_replacement(self, tracked: TrackedContainer) -> None:
        """Do what is left to do when the old container has gone, and a supervisor with it."""
        try:
            await ReplacementStart(self._lifecycle, self._runtime).finish(tracked)
        except PycomposeError as exc:
            log.warning("container %s: cannot finish the replacement: %s", tracked.name, exc)

    async def catch_up(self) -> None:
        """Give a new keeper, which has adopted what runs, what it needs. What has ended meanwhile is told as an exit.

        What runs although its start has failed here is ended.
        """
        await self._stdio.restore()
        await blocking(self._wiring.hold_sockets)
        await blocking(self._runtime.hold_api_sockets)
        containers, _ = await blocking(observe_containers, self._runtime.paths, self._runtime.project)
        states = {container.id: container.state for container in containers}
        for container_id, tracked in list(self._lifecycle.tracked.items()):
            state = states.get(container_id)
            if state is None:
                continue
            runs = state.status in (Status.RUNNING, Status.PAUSED)
            if runs and tracked.status not in (Status.RUNNING, Status.PAUSED):
                await self._lifecycle.kill_unexpected(tracked)
            elif not runs and tracked.pid and not tracked.ended.is_set():
                self._exited(ContainerExited(container=container_id, exit_code=state.exit_code))
