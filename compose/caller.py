"""What a command has from its caller that a fork of the forkserver has to look up, or can't have.

Looked up here and not sent, since a caller imports next to nothing (handover.py).
"""

from __future__ import annotations

import contextlib
import os

from pycompose.engine.cgroups.bounds import bounds
from pycompose.engine.cgroups.hosts import detect
from pycompose.engine.linux.process import io_priority, set_io_priority

_SELF = "self"
_GROUPS = "cgroup"
_OOM_SCORE = "oom_score_adj"


def is_bounded_as_we_are(pid: int) -> bool:
    """Tell whether the control groups of `pid` leave it as much memory and processor time as ours leave us.

    To move a process into another group takes 5 to 15 ms, and callers have groups of their own wherever every login has
    one: what they are for, limits, is what counts.
    """
    try:
        theirs, ours = _read(pid, _GROUPS), _read(_SELF, _GROUPS)
    except OSError:
        return True  # it has ended
    if theirs == ours:
        return True
    mounted = detect()
    return bounds(theirs, mounted) == bounds(ours, mounted)


def take_on(pid: int) -> None:
    """Give the calling process the scheduling class, the I/O priority and the OOM score of `pid`, as far as we may."""
    with contextlib.suppress(OSError):
        policy, parameter = os.sched_getscheduler(pid), os.sched_getparam(pid)
        if policy != os.sched_getscheduler(0):
            os.sched_setscheduler(0, policy, parameter)
    with contextlib.suppress(OSError):
        priority = io_priority(pid)
        if priority != io_priority(0):
            set_io_priority(priority)
    with contextlib.suppress(OSError):
        score = _read(pid, _OOM_SCORE)
        if score != _read(_SELF, _OOM_SCORE):
            with open(f"/proc/{_SELF}/{_OOM_SCORE}", "w", encoding="ascii") as file:
                file.write(score)


def _read(process: int | str, name: str) -> str:
    with open(f"/proc/{process}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
