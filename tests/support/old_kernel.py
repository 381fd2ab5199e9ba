"""A kernel that lacks something: a thread, and all that it starts, gets an error for some system calls.

By a filter of seccomp(2), which sees numbers and arguments, but not what they point to.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pycompose.engine.linux import seccomp
from pycompose.engine.linux.libc import NUMBERS

T = TypeVar("T")

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARGUMENTS_AT = 0, 16  # struct seccomp_data
_OTHERS = {"x86_64": {"ioctl": 16, "memfd_create": 319}, "aarch64": {"ioctl": 29, "memfd_create": 279}}


@dataclass(frozen=True)
class Lack:
    """A system call that fails with `number`; with `argument` only where the low half of that one is `value`."""

    call: str
    number: int = errno.ENOSYS
    argument: int | None = None
    value: int = 0


def call_number(name: str) -> int:
    """Return the number of a system call on this machine."""
    return _OTHERS[os.uname().machine].get(name) or NUMBERS[name]


def program(lacks: tuple[Lack, ...]) -> bytes:
    """Return the filter as an array of struct sock_filter."""
    lines: list[tuple[int, int, int, int]] = []
    for lack in lacks:
        lines.append((_LOAD, 0, 0, _NUMBER_AT))
        if lack.argument is None:
            lines.append((_JUMP_EQUAL, 0, 1, call_number(lack.call)))
        else:
            lines.append((_JUMP_EQUAL, 0, 3, call_number(lack.call)))
            lines.append((_LOAD, 0, 0, _ARGUMENTS_AT + 8 * lack.argument))
            lines.append((_JUMP_EQUAL, 0, 1, lack.value))
        lines.append((_RETURN, 0, 0, _ERRNO | lack.number))
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def without(lacks: tuple[Lack, ...], call: Callable[[], T]) -> T:
    """Return what `call` does on a thread whose kernel lacks this; processes that it starts have no better one."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            seccomp.install(seccomp.pack(program(lacks), 0))
            done.append(call())
        except BaseException as exc:  # noqa: BLE001 - raised again below
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
