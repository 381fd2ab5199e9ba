"""What is to be looked at, put together until the watcher comes to it: one that is behind looks once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Inbox:
    """Filled by several threads; `ready` is called when there is something in it again."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._replaced: set[str] = set()
        self._scan = False

    def put(self, paths: Iterable[str] = (), replaced: Iterable[str] = (), *, scan: bool = False) -> None:
        """Ask for a look at `paths`, of which those that are `replaced` have come or gone; `scan` at everything."""
        with self._lock:
            first = not (self._paths or self._scan)
            self._paths.update(paths)
            self._replaced.update(replaced)
            self._scan = self._scan or scan
        if first:
            self._ready()

    def take(self) -> tuple[set[str], set[str], bool]:
        """Return all of it, and be empty."""
        with self._lock:
            found = self._paths, self._replaced, self._scan
            self._paths, self._replaced, self._scan = set(), set(), False
        return found
