"""What was made of state files, for who runs on and is asked the same again and again; nothing of it is ever stale.

State files are replaced as a whole (`write_json`), added and removed, and each of that changes the ctime of their
folder (rename(2), unlink(2)). So one look at a folder tells whether what was made of its files still holds.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

Mark = tuple[int, int]

MOST_KEPT = 1000
NO_FOLDER: Mark = (0, 0)
_NS = 1_000_000_000
# The clock of files ticks every 10 ms at most, on file systems without fractions every second (on some, two). A folder
# that has changed within that time may change again, and look the same.
_TICK_NS = 100_000_000
_COARSE_TICK_NS = 3 * _NS

_keeps = False


def remember() -> None:
    """Keep what is made of state files from now on; without this, nothing is."""
    global _keeps
    _keeps = True


def forget() -> None:
    """Keep nothing any more."""
    global _keeps
    _keeps = False


def mark(folder: str) -> Mark:
    """Return what changes when a file in a folder is replaced, added or removed."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return NO_FOLDER
    return status.st_ino, status.st_ctime_ns


def settled(found: Mark, now_ns: int) -> bool:
    """Tell whether every change after `now_ns` (CLOCK_REALTIME) will be seen by another mark than `found`."""
    changed_ns = found[1]
    tick_ns = _TICK_NS if changed_ns % _NS else _COARSE_TICK_NS
    return found == NO_FOLDER or now_ns - changed_ns > tick_ns


class FolderMemory(Generic[T]):
    """Keeps what is made of the files in folders as long as none of these files has changed."""

    def __init__(self, holds: Callable[[T], bool] = lambda _value: True) -> None:
        """Take what tells of a value whether it is still true, as far as files alone don't say."""
        self._kept: dict[str, tuple[list[Mark], T]] = {}
        self._holds = holds

    def value(self, key: str, folders: Sequence[str], make: Callable[[], T]) -> T:
        """Return what `make` returns, or has returned for `key` while `folders` were as they are."""
        if not _keeps:
            return make()
        marks = [mark(folder) for folder in folders]
        known = self._kept.get(key)
        if known is not None and known[0] == marks and self._holds(known[1]):
            return known[1]
        now_ns = time.time_ns()
        value = make()
        if known is not None and known[1] == value:
            value = known[1]  # what was derived of it holds as well
        if all(settled(found, now_ns) for found in marks):
            _keep(self._kept, key, (marks, value))
        return value


class Derived(Generic[T]):
    """Keeps what is made of objects as long as they are the same ones."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[object, ...], T]] = {}

    def value(self, key: str, sources: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return what `make` returns, or has returned for `key` and these very `sources`."""
        known = self._kept.get(key)
        if known is not None and all(was is now for was, now in zip(known[0], sources, strict=True)):
            return known[1]
        value = make()
        if _keeps:
            _keep(self._kept, key, (sources, value))
        return value


def _keep(kept: dict[str, Any], key: str, value: object) -> None:
    if len(kept) >= MOST_KEPT and key not in kept:
        kept.clear()
    kept[key] = value
