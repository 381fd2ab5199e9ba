"""Processes: clone3(2), pidfds, prctl(2), signals, limits, and what execve leaves open."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from pycompose.engine.errors import EngineError
from pycompose.engine.linux.libc import call, syscall

CLONE_VM = 0x100
CLONE_PIDFD = 0x1000
CLONE_VFORK = 0x4000
CLONE_PARENT = 0x8000
CLONE_PARENT_SETTID = 0x100000
CLONE_INTO_CGROUP = 0x200000000
CLOSE_RANGE_CLOEXEC = 4

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_IOPRIO_WHO_PROCESS = 1
_KEYCTL_JOIN_SESSION_KEYRING = 1
_DEFAULT_ACTION = bytes(32)  # SIG_DFL, no flags, empty mask
_NO_SIGNALS = bytes(8)
_SIGSET_BYTES = len(_NO_SIGNALS)
_SIG_SETMASK = 2
_LAST_SIGNAL = 64
_LAST_FD = 0xFFFFFFFF

# ioctl _IOWR(0xFF, 11, struct pidfd_info) of linux/pidfd.h; the first version of the struct is 64 bytes long.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO = struct.Struct("=QQ12I")
_PIDFD_INFO_SIZE = 64

RLIMITS = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "as": 9,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}
_RLIM_INFINITY = 2**64 - 1


class CloneArgs(ctypes.Structure):
    """Struct clone_args of clone3(2), with the field `cgroup` of Linux 5.7."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
            "set_tid", "set_tid_size", "cgroup",
        )
    )  # fmt: skip


class _Rlimit(ctypes.Structure):
    """Struct rlimit64 of prlimit(2)."""

    _fields_ = (("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64))


def umask() -> int:
    """Return the umask of this process (proc_pid_status(5)), 0o777 where the kernel doesn't tell (before 4.7)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith("Umask:")]
    return int(found[0], 8) if found else 0o777


def clone3(flags: int, *, cgroup_fd: int | None = None, exit_signal: int = signal.SIGCHLD) -> tuple[int, int]:
    """Fork with `flags`; returns (0, -1) in the child and (pid, pidfd) in the parent.

    With `cgroup_fd` the child is born in that cgroup2 group. Only a process with one thread may call this:
    no handler of fork runs, neither libc's nor Python's. Raises OSError.
    """
    pidfd = ctypes.c_int(-1)
    args = CloneArgs(flags=flags | CLONE_PIDFD, pidfd=ctypes.addressof(pidfd), exit_signal=exit_signal)
    size = CloneArgs.cgroup.offset
    if cgroup_fd is not None:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup_fd
        size = ctypes.sizeof(args)
    pid = syscall("clone3", ctypes.byref(args), size)
    return pid, pidfd.value


def exit_code(status: os.waitid_result) -> int:
    """Return the code of a reaped process: its own, or 128+n when signal n ended it."""
    return status.si_status if status.si_code == os.CLD_EXITED else 128 + status.si_status


def exit_code_of_other(pidfd: int) -> int | None:
    """Return the exit code of a process that somebody else reaped, None while it isn't known.

    Needs Linux 6.15 (PIDFD_INFO_EXIT); a kernel without never knows.
    """
    request = bytearray(_PIDFD_INFO_SIZE)
    struct.pack_into("=Q", request, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
    except OSError:
        return None
    mask, _cgroup, *numbers = _PIDFD_INFO.unpack(request)
    if not mask & _PIDFD_INFO_EXIT:
        return None
    status = int(numbers[-1])
    return status >> 8 & 0xFF if status & 0x7F == 0 else 128 + (status & 0x7F)


def signal_handled(pid: int, signum: int) -> bool:
    """Tell whether `pid` has a handler for `signum` (SigCgt of proc_pid_status(5)).

    The kernel drops signals to a pid 1 that has none, so waiting for a reaction would be in vain. False when
    there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    return False


def reset_signals() -> None:
    """Give every signal its default action and block none; `handled_signals` are those that have another one.

    By the system call: libc refuses to touch its own two, and Python makes objects of all that were blocked.
    """
    for number in handled_signals():
        syscall("rt_sigaction", number, _DEFAULT_ACTION, None, _SIGSET_BYTES)
    syscall("rt_sigprocmask", _SIG_SETMASK, _NO_SIGNALS, None, _SIGSET_BYTES)


@cache
def handled_signals() -> tuple[int, ...]:
    """Return the signals that are ignored or have a handler; as at the first call, so that children needn't ask.

    Python ignores SIGPIPE and SIGXFSZ, and posix_spawn ignores libc's own 32 and 33; execve would hand that on.
    """
    found = []
    for number in range(1, _LAST_SIGNAL + 1):
        action = ctypes.create_string_buffer(len(_DEFAULT_ACTION))
        syscall("rt_sigaction", number, None, action, _SIGSET_BYTES)
        if any(action.raw[: ctypes.sizeof(ctypes.c_void_p)]):
            found.append(number)
    return tuple(found)


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor above 2 that isn't in `keep`; raises OSError."""
    first = 3
    for fd in sorted({fd for fd in keep if fd > 2}):
        if fd > first:
            syscall("close_range", first, fd - 1, 0)
        first = fd + 1
    syscall("close_range", first, _LAST_FD, 0)


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on to be closed by execve; raises OSError."""
    syscall("close_range", first, _LAST_FD, CLOSE_RANGE_CLOEXEC)


def end_process(pid: int, program: str, signals: Iterable[signal.Signals], patience_s: float) -> bool:
    """Send the signals one after the other to a process until it has ended; tell whether it has.

    `program` is a part of its command line: its number may have become another process's.
    """
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if program.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
            for number in signals:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
                if select.select([pidfd], [], [], patience_s)[0]:
                    return True
        finally:
            os.close(pidfd)
        return False
    return True


def set_dumpable(*, dumpable: bool) -> None:
    """Allow or forbid that others trace this process and read its memory, PR_SET_DUMPABLE."""
    syscall("prctl", _PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def set_parent_death_signal(signum: int) -> None:
    """Have `signum` sent to this process when its parent ends; 0 is none."""
    syscall("prctl", _PR_SET_PDEATHSIG, signum, 0, 0, 0)


def set_child_subreaper() -> None:
    """Become the parent of all descendants whose own one ends, PR_SET_CHILD_SUBREAPER."""
    syscall("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_keep_capabilities(*, keep: bool) -> None:
    """Keep the permitted capabilities over a change of the user id, PR_SET_KEEPCAPS."""
    syscall("prctl", _PR_SET_KEEPCAPS, int(keep), 0, 0, 0)


def set_no_new_privileges() -> None:
    """Let no execve of this process and its children ever add privileges."""
    syscall("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def has_no_new_privileges() -> bool:
    """Tell whether no execve of this process and its children adds privileges any more."""
    return syscall("prctl", _PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1


def set_name(name: str) -> None:
    """Set what ps calls this thread, at most 15 bytes."""
    syscall("prctl", _PR_SET_NAME, name)


def join_new_keyring() -> None:
    """Leave the session keyring of whoever started us; kernels without keyrings and full quotas are fine."""
    with contextlib.suppress(OSError):
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)


def io_priority(pid: int) -> int:
    """Return class and priority of the input and output of `pid`, 0 is this process (ioprio_get(2)); raises OSError."""
    return syscall("ioprio_get", _IOPRIO_WHO_PROCESS, pid)


def set_io_priority(priority: int) -> None:
    """Set class and priority of this process's input and output, 0 is what its niceness gives; raises OSError."""
    syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, priority)


def rlimits() -> dict[str, tuple[int, int]]:
    """Return the limits of this process by name, soft and hard; -1 is infinity."""
    found = {}
    for name, number in RLIMITS.items():
        now = _Rlimit()
        call("prlimit64", 0, number, None, ctypes.byref(now), path=name)
        found[name] = (_signed(now.soft), _signed(now.hard))
    return found


def set_rlimits_of(pid: int, limits: Mapping[str, tuple[int, int]]) -> None:
    """Set limits of another process, as `rlimits` returns them; raises OSError."""
    for name, (soft, hard) in limits.items():
        limit = _Rlimit(soft if soft >= 0 else _RLIM_INFINITY, hard if hard >= 0 else _RLIM_INFINITY)
        call("prlimit64", pid, RLIMITS[name], ctypes.byref(limit), None, path=name)


def _signed(limit: int) -> int:
    return -1 if limit == _RLIM_INFINITY else limit


def set_rlimit(name: str, soft: int, hard: int) -> None:
    """Set a limit of this process by its short name ("nofile"); -1 is infinity.

    Raises OSError, EngineError for a name that isn't in RLIMITS.
    """
    number = RLIMITS.get(name.lower().removeprefix("rlimit_"))
    if number is None:
        raise EngineError(f"ulimit {name}: cannot set: unknown", hint="known: " + " ".join(sorted(RLIMITS)))
    limit = _Rlimit(soft if soft >= 0 else _RLIM_INFINITY, hard if hard >= 0 else _RLIM_INFINITY)
    call("prlimit64", 0, number, ctypes.byref(limit), None, path=name)


def set_default_rlimit(name: str, soft: int, hard: int) -> None:
    """Set a limit of this process as far as the hard limit that it has allows it; raises OSError."""
    now = _Rlimit()
    call("prlimit64", 0, RLIMITS[name], None, ctypes.byref(now), path=name)
    try:
        set_rlimit(name, soft, hard)
    except PermissionError:
        soft = now.hard if soft < 0 else min(soft, now.hard)
        limit = _Rlimit(soft, now.hard)
        call("prlimit64", 0, RLIMITS[name], ctypes.byref(limit), None, path=name)
