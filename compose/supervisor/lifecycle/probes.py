"""Health while a container runs: probes at the pace that health.py decides on, and who is told of what they find."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from pycompose.engine.config import plain
from pycompose.engine.dataclass import replace
from pycompose.engine.logs.writer import log_directory
from pycompose.engine.state import Status
from pycompose.engine.statefiles import write_json
from pycompose.policy.health import UNHEALTHY, HealthResult, HealthState, after_probe, next_delay
from pycompose.supervisor.lifecycle.ready import check
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.policy.health import HealthSpec
    from pycompose.supervisor.lifecycle.conditions import Conditions
    from pycompose.supervisor.lifecycle.exec import ExecRunner
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.runtime.containers import Runtime

log = logging.getLogger(__name__)


# Until there is another keeper to ask.
KEEPER_LOST_S = 0.02


class HealthMonitor:
    """The probes of one project. `changed` hears of every new status, `restart` of who wants to be restarted for it."""

    def __init__(
        self,
        runtime: Runtime,
        execs: ExecRunner,
        conditions: Conditions,
        changed: Callable[[TrackedContainer, HealthState], None],
        restart: Callable[[TrackedContainer], object],
    ) -> None:
        self._runtime = runtime
        self._execs = execs
        self._conditions = conditions
        self._changed = changed
        self._restart = restart

    async def run(self, tracked: TrackedContainer) -> None:
        """Probe a container until it ends (the task is cancelled then), or is to be healed."""
        spec = tracked.record.health
        if spec is None:
            return
        state = HealthState()
        self._write(tracked, state)
        while True:
            await asyncio.sleep(next_delay(spec, state, since_start_s=time.monotonic() - tracked.started_s))
            if tracked.status is Status.PAUSED:
                await self._conditions.wait_until(
                    lambda: tracked.status is not Status.PAUSED, asyncio.Event()
                )
            result = await self._ask(tracked, spec)
            if result is None:
                await asyncio.sleep(KEEPER_LOST_S)
                continue
            old, state = (
                state,
                after_probe(spec, state, result, since_start_s=time.monotonic() - tracked.started_s),
            )
            tracked.health = state
            self._write(tracked, state)
            if state.status != old.status:
                self._changed(tracked, state)
                if state.status == UNHEALTHY and _restarts_unhealthy(tracked):
                    self._restart(tracked)
                    return

    async def _ask(self, tracked: TrackedContainer, spec: HealthSpec) -> HealthResult | None:
        """Probe once: inside the container, or from outside where `x-ready` says what. None: nobody could."""
        ready = tracked.record.ready
        if ready is None:
            return await self._execs.probe(tracked.config, spec)
        start_ns = time.time_ns()
        answer = await blocking(
            check,
            ready,
            address=self._runtime.address(tracked.config.id),
            logs=log_directory(self._runtime.paths, tracked.config),
            since_ns=tracked.started_ns,
            timeout_s=spec.timeout_s,
        )
        return HealthResult(
            start_ns=start_ns, end_ns=time.time_ns(), exit_code=1 if answer else 0, output=answer
        )

    def _write(self, tracked: TrackedContainer, state: HealthState) -> None:
        shown = replace(state, backoff_s=0.0, counted_s=0.0, succeeded=False)
        directory = self._runtime.paths.container_run(tracked.config.id)
        try:
            write_json(directory / "health.json", {"status": state.status, **plain(shown)}, durable=False)
        except FileNotFoundError:
            pass  # it is being removed
        except OSError as exc:  # the probes go on
            log.warning("container %s: %s: %s", tracked.name, exc.filename, exc.strerror)


def _restarts_unhealthy(tracked: TrackedContainer) -> bool:
    """Tell whether the service wants an unhealthy container restarted (moby #28400; off unless asked for)."""
    wanted = tracked.record.service.extensions.get("x-restart-on")
    return "unhealthy" in (wanted if isinstance(wanted, list) else [wanted])
