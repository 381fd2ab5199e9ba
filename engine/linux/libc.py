"""System calls that the standard library doesn't wrap, by number through libc's syscall(2).

Every integer travels as a C long and every path as bytes: a bare Python int is a C int to ctypes, so a flag
above 2³¹ or a negative AT_FDCWD would reach the kernel as garbage.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from pycompose.engine.machine import machine_name

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
# As wide as a register each, and converted in C: a start makes 250 calls.
libc.syscall.argtypes = [ctypes.c_long, *[ctypes.c_void_p] * 6]

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000

# Calls since Linux 5.1 have one number on every architecture; the older ones are listed per machine.
_NUMBERS: dict[str, int] = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
_OLD_NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "rt_sigaction": 13,
        "rt_sigprocmask": 14,
        "prctl": 157,
        "set_mempolicy": 238,
        "ioprio_set": 251,
        "ioprio_get": 252,
        "capset": 126,
        "pivot_root": 155,
        "keyctl": 250,
        "seccomp": 317,
        "bpf": 321,
    },
    "aarch64": {
        "rt_sigaction": 134,
        "rt_sigprocmask": 135,
        "prctl": 167,
        "set_mempolicy": 237,
        "ioprio_set": 30,
        "ioprio_get": 31,
        "capset": 91,
        "pivot_root": 41,
        "keyctl": 219,
        "seccomp": 277,
        "bpf": 280,
    },
}
_ZEROS = (0,) * 6
NUMBERS = {**_NUMBERS, **_OLD_NUMBERS.get(machine_name(), {})}


def argument(value: object) -> Any:
    """Return `value` as a ctypes argument of exactly the width that the kernel reads."""
    if isinstance(value, int):
        return ctypes.c_long(value)
    if isinstance(value, str):
        return ctypes.c_char_p(os.fsencode(value))
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    if value is None:
        return ctypes.c_void_p(None)
    return value


def syscall(name: str, *args: object, path: str | bytes | None = None) -> int:
    """Make the system call `name` and return its result.

    Raises OSError with the kernel's errno, whose filename is `path`; ENOSYS for a call not in the table.
    """
    number = NUMBERS.get(name)
    if number is None:
        raise OSError(errno.ENOSYS, f"{name}: no system call number for {machine_name()}", path)
    values = [os.fsencode(value) if type(value) is str else value for value in args]
    result: int = libc.syscall(number, *values, *_ZEROS[len(values) :])
    return result if result >= 0 else check(result, name, path)


def call(name: str, *args: object, path: str | bytes | None = None) -> int:
    """Call libc's function `name`, one that returns -1 and sets errno; raises OSError as `syscall` does."""
    return check(int(getattr(libc, name)(*[argument(value) for value in args])), name, path)


def check(result: int, name: str, path: str | bytes | None = None) -> int:
    """Return `result`, or raise the OSError that errno tells when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", path)
    return result
