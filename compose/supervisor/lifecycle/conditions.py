"""Waiting for containers: what `depends_on` and `--wait` mean, and when they can't be met any more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError
from pycompose.engine.state import Status
from pycompose.model import Condition
from pycompose.policy.health import HEALTHY, UNHEALTHY

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.runtime.containers import Runtime


# `--wait` takes a container without healthcheck for running only when it has lived for a moment, as Compose does.
SETTLED_S = 0.5
# How long a paused container is waited for: `commit` pauses one for a moment, and nobody probes it meanwhile.
PAUSE_PATIENCE_S = 30.0


class DependencyFailed(EngineError):  # noqa: N818
    """A condition that can't be met any more; the message says which, why, and the hint shows the last output."""


class Conditions:
    """Wakes those who wait after every change of a container's state; nobody polls."""

    def __init__(self, runtime: Runtime, of_service: Callable[[str], list[TrackedContainer]]) -> None:
        self._runtime = runtime
        self._of_service = of_service
        self._changed = asyncio.Event()

    def notify_all(self) -> None:
        """Wake everybody: something has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for(self, service: str, condition: Condition, abort: asyncio.Event) -> None:
        """Wait until all containers of a service meet `condition`; raises DependencyFailed when they can't any more."""
        # A list: every replica is asked, so that any failure ends the wait.
        found = self._of_service
        await self.wait_until(lambda: all([self._met(t, condition) for t in found(service)]), abort)  # noqa: C419

    async def wait_until(self, done: Callable[[], bool], abort: asyncio.Event) -> None:
        """Wait until `done()`, asked after every change; returns early when `abort` is set."""
        while not abort.is_set():
            changed = self._changed
            if done():
                return
            waits = [asyncio.ensure_future(changed.wait()), asyncio.ensure_future(abort.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def ready(self, tracked: TrackedContainer, *, restarts: bool = True) -> bool:
        """Tell whether `up --wait` is content: running, or healthy where there is a healthcheck, or done with 0.

        Without `restarts`, one that has had to be started again has failed. Raises DependencyFailed.
        """
        if not restarts and tracked.restart.total:
            raise self._failure(f"container {tracked.name} exited ({tracked.exit_code})", tracked)
        if tracked.status is Status.EXITED and tracked.exit_code == 0:
            return True
        return self._met(tracked, Condition.HEALTHY if tracked.record.health else Condition.STARTED)

    @staticmethod
    def age_s(tracked: TrackedContainer) -> float:
        """Return for how long a container has run; one that has a healthcheck or has ended is old enough."""
        if tracked.record.health is not None or tracked.status is Status.EXITED:
            return float("inf")
        return time.monotonic() - tracked.started_s

    def _met(self, tracked: TrackedContainer, condition: Condition) -> bool:
        ended = tracked.status is Status.EXITED and tracked.restart_task is None
        if condition is Condition.COMPLETED:
            if ended and tracked.exit_code != 0:
                raise self._failure(
                    f'service "{tracked.service}" didn\'t complete successfully: exit {tracked.exit_code}',
                    tracked,
                )
            self._check_pause(tracked)
            return ended
        if ended:
            raise self._failure(f"container {tracked.name} exited ({tracked.exit_code})", tracked)
        if condition is Condition.STARTED:
            return tracked.status in (Status.RUNNING, Status.PAUSED)
        if tracked.record.health is None:
            raise DependencyFailed(
                f"container {tracked.name} has no healthcheck configured",
                hint=f"add a healthcheck to service {tracked.service}, or depend on service_started",
            )
        if tracked.health is not None and tracked.health.status == UNHEALTHY:
            raise self._failure(f"container {tracked.name} is unhealthy", tracked)
        if tracked.health is not None and tracked.health.status == HEALTHY:
            return True
        self._check_pause(tracked)
        return False

    @staticmethod
    def _check_pause(tracked: TrackedContainer) -> None:
        """Give up on a container that somebody has paused: it will neither be probed nor end."""
        if tracked.status is Status.PAUSED and time.monotonic() - tracked.paused_s >= PAUSE_PATIENCE_S:
            raise DependencyFailed(
                f"container {tracked.name} has been paused for {PAUSE_PATIENCE_S:.0f} s: it can't get ready",
                hint=f"let it go on: pycompose unpause {tracked.service}",
            )

    def _failure(self, text: str, tracked: TrackedContainer) -> DependencyFailed:
        lines = self._runtime.last_lines(tracked.config.id, 10)
        if tracked.health is not None and tracked.health.results and not lines:
            lines = tracked.health.results[-1].output.splitlines()[-10:]
        shown = "".join(f"\n  {tracked.name} | {line}" for line in lines)
        return DependencyFailed(text, hint=f"its last output:{shown}" if shown else None)
