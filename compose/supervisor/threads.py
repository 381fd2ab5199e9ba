"""Blocking work on threads, and steps that cancellation does not cut in two."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pycompose.engine.errors import storage_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
T = TypeVar("T")


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
