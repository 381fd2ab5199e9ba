"""Children of the keeper that nobody has told it of.

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

AGAIN_S = 0.01
ROUNDS = 500


class OrphanReaper:
    """Reaps them. `known` are the children that others wait for, `unsure` whether some helper may still speak."""

    def __init__(self, loop: Loop, known: Callable[[], set[int]], unsure: Callable[[], bool]) -> None:
        self._loop = loop
        self._known = known
        self._unsure = unsure
        self._rounds = 0

    def look(self) -> None:
        """Look for strangers until there are none, or those that are left don't end."""
        waiting = self._rounds > 0
        self._rounds = ROUNDS
        if not waiting:
            self._turn()

    def _turn(self) -> None:
        if not self._unsure():
            found = children() - self._known()
            for pid in found:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not found:
                self._rounds = 0
                return
        self._rounds -= 1
        if self._rounds:
            self._loop.after(AGAIN_S, self._turn)


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
