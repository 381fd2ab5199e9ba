"""The AppArmor profile of a program that is about to be executed."""

from __future__ import annotations

import ctypes
import errno
import os

from pycompose.engine.linux import fs
from pycompose.engine.linux.libc import call

_PROC_SUPER_MAGIC = 0x9FA0
_STATFS_BYTES = 256
_BENEATH = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_XDEV | fs.RESOLVE_NO_SYMLINKS
# The first is AppArmor's own, since Linux 5.8; the other one belongs to whichever module comes first.
_FILES = ("attr/apparmor/exec", "attr/exec")


def enter_at_exec(profile: str) -> None:
    """Have the next execve of the calling process enter `profile` (aa_change_onexec(2)).

    Raises OSError: ENOENT for a profile that isn't loaded. Whoever may mount in the container can put anything
    at /proc: it has to be procfs itself, with nothing over the file (CVE-2019-16884, CVE-2023-28642).
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        buffer = ctypes.create_string_buffer(_STATFS_BYTES)
        call("fstatfs", proc, buffer)
        if ctypes.c_long.from_buffer(buffer).value != _PROC_SUPER_MAGIC:
            raise OSError(errno.EPERM, "/proc is not the kernel's", "/proc")
        _write(proc, f"exec {profile}".encode())
    finally:
        os.close(proc)


def _write(proc: int, text: bytes) -> None:
    for name in _FILES:
        try:
            fd = fs.openat2(proc, f"{os.getpid()}/{name}", os.O_WRONLY, resolve=_BENEATH)
        except FileNotFoundError:
            if name == _FILES[-1]:
                raise
            continue
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
        return
