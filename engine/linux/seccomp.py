"""Seccomp(2): the filter of a process and of all that it will ever start."""

from __future__ import annotations

import ctypes
import struct

from pycompose.engine.linux.libc import syscall

_SECCOMP_SET_MODE_FILTER = 1
_INSTRUCTION_BYTES = 8
_FLAGS = struct.Struct("=I")


class _SockFprog(ctypes.Structure):
    """Struct sock_fprog of linux/filter.h."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def pack(program: bytes, flags: int) -> bytes:
    """Return a filter as `install` takes it: flags of seccomp(2), then an array of struct sock_filter."""
    return _FLAGS.pack(flags) + program


def install(packed: bytes) -> None:
    """Filter what this process does from the next system call on, SECCOMP_SET_MODE_FILTER.

    Raises OSError: EACCES without no_new_privs and without CAP_SYS_ADMIN, EINVAL for what the kernel doesn't take.
    """
    (flags,) = _FLAGS.unpack_from(packed)
    program = packed[_FLAGS.size :]
    code = ctypes.create_string_buffer(program, len(program))
    argument = _SockFprog(len(program) // _INSTRUCTION_BYTES, ctypes.addressof(code))
    syscall("seccomp", _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(argument))
