"""Blocking work of many tasks, done together."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Sequence

import pytest
from pycompose.engine.errors import NetworkError, StorageError
from pycompose.supervisor.threads import Together


def test_all_of_one_turn_are_one_call() -> None:
    """A hundred tasks that ask at once are one call; who comes meanwhile is in the next."""
    calls: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        begun.set()
        assert go_on.wait(10)
        return [item * 2 for item in items]

    async def story() -> None:
        together = Together(work)
        first = [asyncio.create_task(together.do(item)) for item in range(100)]
        await asyncio.to_thread(begun.wait, 10)
        second = [asyncio.create_task(together.do(item)) for item in range(100, 103)]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*first, *second) == [item * 2 for item in range(103)]

    asyncio.run(story())

    assert calls == [list(range(100)), [100, 101, 102]]


def test_an_error_reaches_whom_it_concerns() -> None:
    """The others get their results; what the file system says becomes what it means."""

    def work(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise NetworkError("three")
        if 4 in items:
            raise OSError(errno.ENOSPC, "full", "/state")
        return list(items)

    async def story() -> list[object]:
        together = Together(work)
        return await asyncio.gather(*map(together.do, range(6)), return_exceptions=True)

    outcomes = asyncio.run(story())

    assert [outcomes[place] for place in (0, 1, 2, 5)] == [0, 1, 2, 5]
    assert isinstance(outcomes[3], NetworkError)
    assert isinstance(outcomes[4], StorageError)


def test_cancelled_work_is_waited_for() -> None:
    """Whoever comes next finds it done, and the others have their results."""
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        begun.set()
        assert go_on.wait(10)
        return list(items)

    async def story() -> None:
        together = Together(work)
        cancelled, other = (asyncio.create_task(together.do(item)) for item in (1, 2))
        await asyncio.to_thread(begun.wait, 10)
        cancelled.cancel()
        await asyncio.sleep(0)
        assert not cancelled.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await other == 2

    asyncio.run(story())
