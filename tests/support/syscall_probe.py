"""Asks the filter of the process that runs it about system calls, without making them.

    python3 syscall_probe.py '[["x86_64", 0, 600], ["x86_64", 41, 41, 40, 1], …]'

Each entry is a way into the kernel (x86_64, x86, x32), the first and the last number, and arguments. The answer is a
list of one list per entry: 0 for a call that the filter lets through, else the errno that it gives, or "killed".

A process adds a filter of its own that hands every call with MARK as its sixth argument to a tracer, who has it left
out. The kernel asks all filters, and the strictest answer counts: a refusal comes before the tracer.

It runs inside containers, by whatever Python 3 there is: only the standard library, and nothing of pycompose.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import struct
import sys

MARK = 0x5EC0
LET_THROUGH = 999  # no errno of the kernel's
KILLED = -1
UNKNOWN = -2

PTRACE_TRACEME, PTRACE_POKEUSER, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 6, 7, 0x4200
PTRACE_O_TRACESECCOMP, PTRACE_O_EXITKILL = 1 << 7, 1 << 20
PTRACE_EVENT_SECCOMP = 7
RAX, ORIG_RAX = 10 * 8, 15 * 8  # struct user
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
X32_BIT = 1 << 30
# int f(int numbers[7]): the number and six arguments by int 0x80
INT80 = bytes.fromhex("53 55 8b07 8b5f04 8b4f08 8b570c 8b7710 8b6f18 8b7f14 cd80 5d 5b c3")
# ld args[5]; jeq #MARK, 0, 1; ret TRACE; ret ALLOW
FILTER = struct.pack(
    "=HBBIHBBIHBBIHBBI", 0x20, 0, 0, 16 + 5 * 8, 0x15, 0, 1, MARK, 6, 0, 0, 0x7FF00000, 6, 0, 0, 0x7FFF0000
)

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long

Call = tuple[str, int, tuple[int, ...]]


def ask(calls: list[Call]) -> list[int]:
    """Return 0, an errno, or KILLED for each call."""
    answers = mmap.mmap(-1, 4 * len(calls) + 4)
    cells = (ctypes.c_int32 * len(calls)).from_buffer(answers)
    for index in range(len(calls)):
        cells[index] = UNKNOWN
    start = 0
    while start < len(calls):
        pid = os.fork()
        if pid == 0:
            try:
                _make(calls, cells, start)
            finally:
                os._exit(0)
        _trace(pid)
        ended = next((index for index in range(start, len(calls)) if cells[index] == UNKNOWN), len(calls))
        if ended < len(calls):
            cells[ended] = KILLED
        start = ended + 1
    return [0 if value == LET_THROUGH else value for value in cells]


def _make(calls: list[Call], cells: ctypes.Array[ctypes.c_int32], start: int) -> None:
    """Make the calls from `start` on, in the traced process."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT80)
    entry = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    program = ctypes.create_string_buffer(FILTER, len(FILTER))
    header = (ctypes.c_uint64 * 2)(len(FILTER) // 8, ctypes.addressof(program))
    libc.ptrace(PTRACE_TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(header), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl PR_SET_SECCOMP")
    for index in range(start, len(calls)):
        way, number, arguments = calls[index]
        values = [*arguments, *(0,) * (5 - len(arguments)), MARK]
        if way == "x86":
            block = (ctypes.c_uint32 * 7)(number, *values)
            cells[index] = -entry(ctypes.addressof(block))
            continue
        bit = X32_BIT if way == "x32" else 0
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number | bit), *[ctypes.c_ulong(value) for value in values])
        cells[index] = ctypes.get_errno() if result == -1 else KILLED


def _trace(pid: int) -> None:
    """Have every call left out that reaches us, until the process ends."""
    while True:
        _pid, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return
        if status >> 16 == PTRACE_EVENT_SECCOMP:
            libc.ptrace(PTRACE_POKEUSER, pid, ORIG_RAX, -1 & 0xFFFFFFFFFFFFFFFF)
            libc.ptrace(PTRACE_POKEUSER, pid, RAX, -LET_THROUGH & 0xFFFFFFFFFFFFFFFF)
            libc.ptrace(PTRACE_CONT, pid, None, None)
        elif os.WSTOPSIG(status) == signal.SIGSTOP:
            libc.ptrace(PTRACE_SETOPTIONS, pid, None, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)
            libc.ptrace(PTRACE_CONT, pid, None, None)
        else:
            libc.ptrace(PTRACE_CONT, pid, None, os.WSTOPSIG(status))


def main(text: str) -> None:
    """Print the answers to what `text` asks."""
    asked = json.loads(text)
    calls = [
        (way, number, tuple(arguments))
        for way, first, last, *arguments in asked
        for number in range(first, last + 1)
    ]
    answers = iter(ask(calls))
    found = [[next(answers) for _ in range(last - first + 1)] for _way, first, last, *_arguments in asked]
    print(json.dumps([["killed" if one == KILLED else one for one in row] for row in found]))


if __name__ == "__main__":
    main(sys.argv[1])
