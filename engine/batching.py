"""What several threads ask for at the same time, done in one go: where ten cost hardly more than one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Request(Generic[Item, Result]):
    """One thread's item, and what came of it."""

    __slots__ = ("error", "item", "results")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.results: Sequence[Result] = ()
        self.error: BaseException | None = None


class Batcher(Generic[Item, Result]):
    """Calls `work` with the items of everybody who came while the last call was under way.

    `work` returns one result for each item. When it raises for several of them it has done nothing, or what may be
    done again: it is called for each one alone then, and the error is raised to whom it concerns.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Request[Item, Result]] = []

    def do(self, item: Item) -> Result:
        """Return the result for `item`, or raise what `work` raises."""
        asked: _Request[Item, Result] = _Request(item)
        with self._lock:
            self._waiting.append(asked)
        # Whoever has had the turn before us has perhaps done ours with theirs.
        with self._turn:
            with self._lock:
                batch, self._waiting = self._waiting, []
            if batch:
                self._do(batch)
        if asked.error is not None:
            raise asked.error
        return asked.results[0]

    def _do(self, batch: Sequence[_Request[Item, Result]]) -> None:
        try:
            for asked, result in zip(batch, self._work([one.item for one in batch]), strict=True):
                asked.results = (result,)
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that asked
            if len(batch) == 1:
                batch[0].error = exc
                return
            for asked in batch:
                self._do([asked])
