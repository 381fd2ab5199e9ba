"""`run --rm`: containers that are removed as soon as they have ended, whoever is connected to them then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.tasks import BackgroundTasks

log = logging.getLogger("pycompose.supervisor")


class AutoRemove:
    """The removals under way; `remove` takes a container's id and raises PycomposeError."""

    def __init__(self, remove: Callable[[str], Awaitable[None]], tasks: BackgroundTasks) -> None:
        self._remove = remove
        self._tasks = tasks
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._kept: Counter[str] = Counter()

    @contextlib.contextmanager
    def keeping(self, container_ids: Collection[str]) -> Iterator[None]:
        """Keep containers whose end isn't the end of them: they are started again (`restart`)."""
        self._kept.update(container_ids)
        try:
            yield
        finally:
            self._kept.subtract(container_ids)

    def ended(self, tracked: TrackedContainer) -> None:
        """Begin to remove a container that has ended, or never came to run, if it isn't to be kept."""
        container_id = tracked.config.id
        if not tracked.record.auto_remove or self._kept[container_id] > 0:
            return
        if container_id not in self._under_way:
            removal = self._under_way[container_id] = self._tasks.start(self._work(tracked))
            removal.add_done_callback(lambda _: self._under_way.pop(container_id, None))

    async def wait(self, container_id: str) -> None:
        """Wait until a removal that is under way is done; it goes on when the caller is cancelled."""
        removal = self._under_way.get(container_id)
        if removal is not None:
            await asyncio.wait([removal])

    async def _work(self, tracked: TrackedContainer) -> None:
        try:
            await self._remove(tracked.config.id)
        except PycomposeError as exc:  # the next `down` tries again
            log.warning("container %s: %s", tracked.name, exc)
