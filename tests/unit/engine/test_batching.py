"""Threads whose wishes are done together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from pycompose.engine.batching import Batcher


def test_those_who_wait_are_done_in_one_go() -> None:
    """While one call is under way, others gather and share the next one; everybody gets their own result."""
    calls: list[list[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        begun.set()
        assert go_on.wait(10)
        return [item * 2 for item in items]

    together = Batcher(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.do, 0)
        assert begun.wait(10)
        others = [pool.submit(together.do, item) for item in range(1, 8)]
        while len(together._waiting) < 7:  # nothing else shows that they have come
            time.sleep(0.001)
        go_on.set()
        assert [one.result(10) for one in (first, *others)] == [item * 2 for item in range(8)]

    assert len(calls) == 2
    assert sorted(calls[1]) == list(range(1, 8))


def test_an_error_reaches_only_who_asked_for_it() -> None:
    """A call that fails for several is made again for each alone."""
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        if items == [0]:
            begun.set()
            assert go_on.wait(10)
        if 3 in items:
            raise ValueError("three")
        return list(items)

    together = Batcher(work)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(together.do, 0)
        assert begun.wait(10)
        others = {item: pool.submit(together.do, item) for item in range(1, 6)}
        while len(together._waiting) < 5:  # nothing else shows that they have come
            time.sleep(0.001)
        go_on.set()
        with pytest.raises(ValueError, match="three"):
            others.pop(3).result(10)
        assert {item: one.result(10) for item, one in others.items()} == {item: item for item in others}
        assert first.result(10) == 0


def test_alone_nothing_is_different() -> None:
    """One thread gets its result, or its error, each time."""

    def work(items: Sequence[int]) -> list[int]:
        return [1 // item for item in items]

    together = Batcher(work)

    assert together.do(1) == 1
    with pytest.raises(ZeroDivisionError):
        together.do(0)
    assert together.do(1) == 1
