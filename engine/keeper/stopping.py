"""Pausing a container where no control group is ours: its processes are stopped and continued, one by one (signal(7)).

Those whose parent asks for that (waitpid(2), WUNTRACED) are seen to be stopped, which a control group hides.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from pycompose.engine.linux import members

_PAUSE_S = 0.001
_ENDED = frozenset("ZX")
_AT_REST = frozenset("TtZX")  # proc_pid_stat(5)


def stop(pid: int, timeout_s: float = 5.0) -> bool:
    """Stop every process of the container of `pid`; False for one in the pid namespace of the machine.

    Returns when all have stopped. When some haven't within `timeout_s`, all go on, and it is False as well.
    """
    deadline = time.monotonic() + timeout_s
    while inside := members.of(pid):
        moving = [one for one in inside if _state(one) not in _AT_REST]
        if not moving:
            return True
        if time.monotonic() > deadline:
            _send(inside, signal.SIGCONT)
            return False
        _send(moving, signal.SIGSTOP)  # and look again: one of them may have forked before
        time.sleep(_PAUSE_S)
    return False


def go_on(pid: int) -> bool:
    """Undo `stop`; False as there."""
    inside = members.of(pid)
    _send(inside, signal.SIGCONT)
    return bool(inside)


def kill(mounts: int, most_rounds: int = 100) -> None:
    """SIGKILL every process of a container without a pid namespace of its own, by its mount namespace."""
    for _ in range(most_rounds):
        moving = [one for one in members.of_mount_namespace(mounts) if _state(one) not in _ENDED]
        if not moving:
            return
        _send(moving, signal.SIGKILL)  # and look again, as above
        time.sleep(_PAUSE_S)


def _state(pid: int) -> str:
    with contextlib.suppress(OSError, IndexError):
        return members.stat(pid)[0]
    return "X"


def _send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
