"""What several threads ask for at the same time, done in one go: where ten cost hardly more than one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


def attempt(
    work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]
) -> list[Result | Failure]:
    """Return what `work` returns for each of `items`, or a Failure for those that it raises for.

    When it raises for several of them it has done nothing, or what may be done again: it is called for each one alone.
    """
    try:
        return list(work(items))
    except BaseException as exc:  # noqa: BLE001 - carried to who asked
        if len(items) == 1:
            return [Failure(exc)]
    return [outcome for item in items for outcome in attempt(work, [item])]


class Failure:
    """What was raised in place of a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Request(Generic[Item, Result]):
    """One thread's item, and what came of it."""

    __slots__ = ("item", "outcomes")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcomes: Sequence[Result | Failure] = ()


class Batcher(Generic[Item, Result]):
    """Calls `work` with the items of everybody who came while the last call was under way.

    `work` returns one result for each item; when it raises, see `attempt`: the error is raised to whom it concerns.
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
            for one, outcome in zip(batch, self._attempt(batch), strict=True):
                one.outcomes = (outcome,)
        (outcome,) = asked.outcomes
        if isinstance(outcome, Failure):
            raise outcome.error
        return outcome

    def _attempt(self, batch: Sequence[_Request[Item, Result]]) -> list[Result | Failure]:
        return attempt(self._work, [one.item for one in batch]) if batch else []
