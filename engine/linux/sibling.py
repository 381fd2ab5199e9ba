"""A process that leaves its memory to a sibling: vfork(2) for somebody who doesn't execute at once.

```
caller   clone3 ──> suspended by the kernel ──────────────> exit_group
sibling        └──> goes on with the caller's memory ──> execve, or its end
```
A fork of an interpreter copies its page tables, and then each page that one of the two writes to. Here nothing is
copied, for the caller never reads its memory again: what it executes after the call are four instructions.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

from pycompose.engine.linux import process
from pycompose.engine.linux.libc import NUMBERS, libc
from pycompose.engine.machine import machine_name

if TYPE_CHECKING:
    from collections.abc import Callable

_PROT_READ, _PROT_EXEC, _MAP_PRIVATE = 1, 4, 2
_EXIT_GROUP = 231
# long clone3(struct clone_args *, size_t): C passes arguments in the registers that the system call reads.
_CODE = {
    "x86_64": b"".join(
        (
            b"\xb8" + struct.pack("<I", NUMBERS["clone3"]),  # mov eax, clone3
            b"\x0f\x05",  # syscall
            b"\x48\x85\xc0",  # test rax, rax
            b"\x7e\x09",  # jle +9: the sibling, or an error
            b"\x31\xff",  # xor edi, edi
            b"\xb8" + struct.pack("<I", _EXIT_GROUP),  # mov eax, exit_group
            b"\x0f\x05",  # syscall
            b"\xc3",  # ret
        )
    )
}


def possible() -> bool:
    """Tell whether `go_on` works here; found out once, and what it needs made, so that children needn't."""
    try:
        _clone3_or_end()
    except OSError:  # another kind of processor, or a machine that executes nothing but files
        return False
    return True


def go_on() -> tuple[int, int]:
    """Go on as a sibling of the calling process, and return the number it has where that one is, and a pidfd.

    It is born where the caller's children are (pid_namespaces(7)), with copies of its descriptors. The caller ends
    when the sibling executes or ends. Only for a process of one thread. Raises OSError.
    """
    pid = ctypes.c_int(0)
    flags = process.CLONE_PARENT | process.CLONE_PARENT_SETTID | process.CLONE_VM | process.CLONE_VFORK
    args = process.CloneArgs(flags=flags, parent_tid=ctypes.addressof(pid))
    result = int(_clone3_or_end()(ctypes.byref(args), process.CloneArgs.cgroup.offset))
    if result < 0:
        raise OSError(-result, f"clone3: {os.strerror(-result)}")
    return pid.value, os.pidfd_open(os.getpid())


@cache
def _clone3_or_end() -> Callable[..., Any]:
    """Return clone3 that ends whoever has got a child by it; raises OSError.

    libc has none: the caller would come back to a stack that the sibling has written over.
    """
    code = _CODE.get(machine_name())
    if code is None:
        raise OSError(errno.ENOSYS, f"no code for {machine_name()}")
    fd = os.memfd_create("clone3", os.MFD_CLOEXEC)
    try:
        os.write(fd, code)
        map_memory = libc["mmap"]
        map_memory.restype = ctypes.c_void_p
        map_memory.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        address = map_memory(None, len(code), _PROT_READ | _PROT_EXEC, _MAP_PRIVATE, fd, 0)
    finally:
        os.close(fd)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, f"mmap: {os.strerror(number)}")
    return ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t)(address)
