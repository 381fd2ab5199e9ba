"""Landlock: a thread gives up changing files anywhere but in some directories (landlock(7), Linux 5.13)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from pycompose.engine.linux.libc import syscall

_VERSION = 1 << 0
_PATH_BENEATH = 1
# linux/landlock.h: LANDLOCK_ACCESS_FS_EXECUTE, WRITE_FILE, and REMOVE_DIR (1 << 4) to MAKE_SYM (1 << 12).
_EXECUTE, _WRITE_FILE, _CHANGE = 1 << 0, 1 << 1, 0x1FF0
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TRUNCATE_ABI, _REFER_ABI = 3, 2


def abi() -> int:
    """Return the version of Landlock that this kernel has, 0 for none."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _VERSION)
    except OSError as exc:
        if exc.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def write_only_below(directories: Sequence[int]) -> bool:
    """Take from this thread, for good, the right to change files outside of `directories` and to execute any.

    Descriptors that are open for writing stay so; threads and children made later have the right no more either.
    Owners, modes and times are not Landlock's business. Needs no_new_privs; tells whether the kernel can do it.
    Raises OSError.
    """
    version = abi()
    if not version:
        return False
    changes = _WRITE_FILE | _CHANGE
    changes |= _REFER if version >= _REFER_ABI else 0
    changes |= _TRUNCATE if version >= _TRUNCATE_ABI else 0
    handled = ctypes.create_string_buffer(struct.pack("=Q", changes | _EXECUTE), 8)
    ruleset = syscall("landlock_create_ruleset", ctypes.addressof(handled), 8, 0)
    try:
        for directory in directories:
            rule = ctypes.create_string_buffer(struct.pack("=Qi", changes, directory), 12)
            syscall("landlock_add_rule", ruleset, _PATH_BENEATH, ctypes.addressof(rule), 0)
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return True
