"""Blocking work on threads, and steps that cancellation does not cut in two."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from pycompose.engine.batching import Failure, attempt
from pycompose.engine.errors import storage_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")


async def shielded(work: Awaitable[T]) -> T:
    """Await `work` to its end even when the caller is cancelled meanwhile; CancelledError is raised afterwards.

    For steps that belong together, such as starting a container and remembering that it runs.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


async def blocking(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` on a thread and return its result.

    A thread can't be stopped: when the caller is cancelled, the work is waited for all the same, so that whoever
    comes next finds it done or failed, never half-way. Raises StorageError where a state directory can't be written.
    """
    loop = asyncio.get_running_loop()
    try:
        return await shielded(loop.run_in_executor(None, functools.partial(function, *args, **kwargs)))
    except OSError as exc:
        if error := storage_error(exc):
            raise error from exc
        raise


class Together(Generic[Item, Result]):
    """Blocking work of which a hundred cost little more than one: done for all who ask in the same turn of the loop.

    Those who come while it is under way are next, together again. `work` returns one result for each item; when it
    raises, see `batching.attempt`.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        """Return the result for `item`, or raise what `work` raises; as `blocking` does, also when it is cancelled."""
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, asked))
        if self._task is None:
            self._task = loop.create_task(self._run())
        return await shielded(asked)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
        finally:
            self._task = None
            for _, asked in self._waiting:
                asked.cancel()

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        outcomes: Sequence[Result | Failure]
        try:
            outcomes = await blocking(attempt, self._work, [item for item, _ in batch])
        except asyncio.CancelledError:
            for _, asked in batch:
                asked.cancel()
            raise
        except RuntimeError as exc:  # no more threads: the process is about to end
            outcomes = [Failure(exc)] * len(batch)
        for (_, asked), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Failure):
                asked.set_exception(_translated(outcome.error))
            else:
                asked.set_result(outcome)


def _translated(error: BaseException) -> BaseException:
    """Return a StorageError in place of an OSError that is one."""
    return (storage_error(error) if isinstance(error, OSError) else None) or error
