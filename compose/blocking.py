"""Blocking work from the event loop, finished even when the one who asked for it is cancelled."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def blocking(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` on a thread and return its result.

    A thread can't be stopped: when the caller is cancelled, the work is waited for all the same, so that whoever
    comes next finds it done or failed, never half-way.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, functools.partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise
