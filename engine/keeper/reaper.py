"""Reaps orphans: children of the keeper that it has not been told of, zombies as a rule.

An exec's helper clones the real process as a child of the keeper and sends its pid. A helper that is killed in between,
as all of a container are when it is stopped, takes that pid with it; and the container's process 1 cannot end before
everybody in its pid namespace has been reaped (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from pycompose.engine.keeper.loop import Loop

INTERVAL_S = 0.01
MOST_ROUNDS = 500


class OrphanReaper:
    """Waits for children that are not `known`, but not while `helpers_pending`: these may still send a pid."""

    def __init__(
        self, loop: Loop, known: Callable[[], set[int]], helpers_pending: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._known = known
        self._helpers_pending = helpers_pending
        self._rounds = 0

    def start(self) -> None:
        """Reap orphans until there are none, for MOST_ROUNDS times INTERVAL_S at most."""
        running = self._rounds > 0
        self._rounds = MOST_ROUNDS
        if not running:
            self._reap()

    def _reap(self) -> None:
        if not self._helpers_pending():
            orphans = children() - self._known()
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not orphans:
                self._rounds = 0
                return
        self._rounds -= 1
        if self._rounds:
            self._loop.after(INTERVAL_S, self._reap)


def children() -> set[int]:
    """Return the pids of our children, zombies too (proc_tid_children(5); by /proc/PID/stat where there is none)."""
    try:
        return set(map(int, Path("/proc/thread-self/children").read_bytes().split()))
    except OSError:
        return {
            int(name) for name in os.listdir("/proc") if name.isdecimal() and _parent(name) == os.getpid()
        }


def _parent(pid: str) -> int:
    with contextlib.suppress(OSError):
        # The name in parentheses may hold anything; state and parent come behind the last one.
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0
