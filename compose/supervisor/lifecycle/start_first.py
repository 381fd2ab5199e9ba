"""A replacement that starts before the old container stops (`deploy.update_config.order: start-first`).

    create  OLD_demo-web-1, with an address of its own
    start   it; neither ports nor names lead to it yet
    await   healthy, or half a second of life where there is no healthcheck
    switch  published ports and names, from the old one to the new one, at once
    drain   wait until the old one has answered what came before, for at most DRAIN_S
    ...     the plan goes on: stop the old one, remove it, rename the new one to demo-web-1

Whatever fails before the switch removes the new container, and the old one has not noticed. The switch keeps the
sockets that hold the host's ports, so no connection is refused; those that are open stay with the old one until it
stops, which waits for their answers a little.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.supervisor.lifecycle.conditions import SETTLED_S
from pycompose.supervisor.threads import blocking, shielded

if TYPE_CHECKING:
    from pycompose.supervisor.lifecycle.hooks import Told
    from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.runtime.containers import Runtime

# What a request may take after the switch, in seconds, and how often is looked whether it is through.
DRAIN_S = 2.0
DRAIN_LOOK_S = 0.02


class ReplacementStart:
    """Starts replacements beside what they replace; `lifecycle` and `runtime` are the project's."""

    def __init__(self, lifecycle: Lifecycle, runtime: Runtime) -> None:
        self._lifecycle = lifecycle
        self._runtime = runtime

    async def run(self, tracked: TrackedContainer, abort: asyncio.Event, told: Told | None = None) -> None:
        """Start a container beside the one it replaces, and switch ports and names to it when it is ready.

        Raises what the engine says, DependencyFailed when it ends or is unhealthy; it is gone then.
        """
        try:
            await self._lifecycle.start(tracked, told)
            await self._ready(tracked, abort)
            if abort.is_set():
                await shielded(self._discard(tracked))
                return
            old_id = tracked.record.takes_over
            await shielded(self._switch_over(tracked))
        except BaseException:
            await shielded(self._discard(tracked))
            raise
        await self._drained(old_id, abort)

    async def finish(self, tracked: TrackedContainer) -> None:
        """Do what is left when the old container has gone meanwhile; raises NetworkError, AlreadyExists."""
        if tracked.record.takes_over:
            await shielded(self._switch_over(tracked))
        await self._lifecycle.rename(tracked, tracked.name.partition("_")[2])

    async def _ready(self, tracked: TrackedContainer, abort: asyncio.Event) -> None:
        conditions = self._lifecycle.conditions
        await conditions.wait_until(lambda: conditions.ready(tracked, restarts=False), abort)
        while not abort.is_set() and (young_s := SETTLED_S - conditions.age_s(tracked)) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(abort.wait(), young_s)
            conditions.ready(tracked, restarts=False)

    async def _switch_over(self, tracked: TrackedContainer) -> None:
        old_id = tracked.record.takes_over
        record = replace(tracked.record, takes_over="")
        await blocking(self._runtime.take_over, tracked.config, record, old_id)
        tracked.record = record

    async def _drained(self, old_id: str, abort: asyncio.Event) -> None:
        """Wait until nobody is connected to the old container any more: not every server ends well at a signal.

        The kernel doesn't tell when connections end, so they are looked at. Those that stay open, of a pool or for
        events, end with the container.
        """
        from pycompose.engine.linux.inbound import count_inbound  # noqa: PLC0415 - few replacements start first

        loop = asyncio.get_running_loop()
        until_s = loop.time() + DRAIN_S
        old = self._lifecycle.tracked.get(old_id)
        if old is None or old.config.namespaces.network != "private":
            return  # what listens there may be somebody else's
        while old.status is Status.RUNNING and not abort.is_set() and loop.time() < until_s:
            if not await blocking(count_inbound, old.pid):
                return
            await asyncio.sleep(DRAIN_LOOK_S)

    async def _discard(self, tracked: TrackedContainer) -> None:
        """Stop and remove the new container; what went wrong before is told, not what goes wrong here."""
        with contextlib.suppress(PycomposeError):
            await self._lifecycle.stop(tracked, 0)
            await self._lifecycle.cleaned_up(tracked)
            self._lifecycle.untrack(tracked.config.id)
            await blocking(self._runtime.remove, tracked.config.id, volumes=False)
