"""What a process has from whoever started it, and what a service has instead.

Supervisor and keeper are started by the first command for a project, out of somebody's shell; they outlive it, and
all containers are the keeper's children. So what that shell had set for itself (umask, priority, limits, ignored
signals…) is set to what a service manager would give, once, at the start of either. Only no_new_privs and a filter of
system calls can't be taken back.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pycompose.engine.linux import caps, process
from pycompose.engine.linux.libc import call, syscall

UMASK = 0o022
_MOST_PROCESSORS = 8192  # NR_CPUS of the largest kernels; what isn't there doesn't matter
_TIMER_SLACK_NS = 50_000
_COREDUMP_FILTER = "0x33"  # core(5)
_MPOL_DEFAULT = 0
_PER_LINUX = 0
_PR_SET_SECUREBITS = 28
_PR_SET_TIMERSLACK = 29
_PR_SET_THP_DISABLE = 41
_MIB = 1024 * 1024
# Soft and hard, -1 is infinity: the kernel's own (INIT_RLIMITS), with systemd's for files and locked memory.
LIMITS = {
    "cpu": (-1, -1),
    "fsize": (-1, -1),
    "data": (-1, -1),
    "stack": (8 * _MIB, -1),
    "core": (-1, -1),
    "rss": (-1, -1),
    "nproc": (-1, -1),
    "nofile": (1024, 524288),
    "memlock": (8 * _MIB, 8 * _MIB),
    "as": (-1, -1),
    "locks": (-1, -1),
    "msgqueue": (819200, 819200),
    "nice": (0, 0),
    "rtprio": (0, 0),
    "rttime": (-1, -1),
}
# Python ignores these by itself.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def reset() -> None:
    """Give the calling process, of one thread, what a service has; what isn't allowed stays as it is.

    No hard limit is lowered, for that couldn't be taken back for a container that asks for more: see `excess_limits`.
    """
    os.umask(UMASK)
    for step in _STEPS:
        with contextlib.suppress(OSError):
            step()
    before = process.rlimits()
    for name, (soft, hard) in _limits().items():
        former = before[name][1]
        process.set_default_rlimit(name, soft, -1 if -1 in (hard, former) else max(hard, former))
    for number in signal.valid_signals():
        if number not in _IGNORED and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


@cache
def excess_limits() -> dict[str, tuple[int, int]]:
    """Return the limits, soft and hard, that a program should have and this process hasn't; as at the first call."""
    now = process.rlimits()
    return {name: wanted for name, wanted in _limits().items() if now[name] != wanted}


@cache
def _limits() -> dict[str, tuple[int, int]]:
    """Return the limits of a program; how many signals may wait goes by the machine's memory, as in the kernel."""
    try:
        pending = int(Path("/proc/sys/kernel/threads-max").read_text(encoding="ascii")) // 2
    except OSError:
        return LIMITS
    return {**LIMITS, "sigpending": (pending, pending)}


def _capabilities() -> None:
    """Have all that is permitted; what programs would inherit, nothing (CVE-2022-24769)."""
    caps.set_capabilities(caps.permitted(), caps.permitted())


def _schedule() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _write(name: str, text: str) -> Callable[[], None]:
    def step() -> None:
        Path("/proc/self", name).write_text(text, encoding="ascii")

    return step


_STEPS: tuple[Callable[[], object], ...] = (
    process.join_new_keyring,
    lambda: syscall("prctl", _PR_SET_SECUREBITS, 0, 0, 0, 0),
    _capabilities,
    lambda: call("personality", _PER_LINUX),
    _schedule,
    lambda: os.setpriority(os.PRIO_PROCESS, 0, 0),
    lambda: process.set_io_priority(0),
    lambda: os.sched_setaffinity(0, range(_MOST_PROCESSORS)),
    lambda: syscall("set_mempolicy", _MPOL_DEFAULT, None, 0),
    lambda: syscall("prctl", _PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0),
    lambda: syscall("prctl", _PR_SET_THP_DISABLE, 0, 0, 0, 0),
    _write("oom_score_adj", "0"),
    _write("coredump_filter", _COREDUMP_FILTER),
)
