"""Tasks of the event loop that keep the supervisor from ending as idle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class BackgroundTasks:
    """The tasks under way; `on_done` is called after each."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self._tasks: set[asyncio.Task[Any]] = set()
        self._resting: set[asyncio.Task[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether a task is under way."""
        return bool(self._tasks - self._resting)

    @property
    def others_busy(self) -> bool:
        """Whether a task other than the calling one is under way."""
        return any(
            task is not asyncio.current_task() for task in self._tasks - self._resting if not task.done()
        )

    def rest(self) -> None:
        """Let the calling task, which only waits for others, count no more."""
        task = asyncio.current_task()
        if task is not None:
            self._resting.add(task)
            task.add_done_callback(self._resting.discard)
            asyncio.get_running_loop().call_soon(self._on_done)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` as a task."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            self._on_done()

        task.add_done_callback(done)
        return task

    async def cancel(self) -> None:
        """Cancel whatever is under way, and wait until it has ended."""
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
