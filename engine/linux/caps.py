"""Capabilities (capabilities(7)): names, masks, and the five sets of a thread."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pycompose.engine.errors import EngineError
from pycompose.engine.linux import userns
from pycompose.engine.linux.libc import syscall

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
# Those that the kernel asks for in the initial user namespace alone: capable(), never ns_capable(), in its sources.
_OF_THE_MACHINE = frozenset({
    "AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "BPF", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "PERFMON",
    "SYSLOG", "SYS_MODULE", "SYS_PACCT", "SYS_RAWIO", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
})  # fmt: skip
SYS_ADMIN = 1 << CAPABILITIES.index("SYS_ADMIN")

_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


class _Header(ctypes.Structure):
    """Struct __user_cap_header_struct of capset(2)."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


@cache
def last_capability() -> int:
    """Return the highest capability number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


@cache
def permitted() -> int:
    """Return the permitted set that this process had at the first call (CapPrm of proc_pid_status(5))."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def without_effect(names: Iterable[str]) -> list[str]:
    """Return those of `names` that give nothing in our user namespace.

    More than half of all are what ALL has left, where nobody has asked for these by name.
    """
    wanted = frozenset(names)
    if userns.is_initial() or len(wanted) > len(CAPABILITIES) // 2:
        return []
    return sorted(_OF_THE_MACHINE & wanted)


def mask_of(names: Iterable[str]) -> int:
    """Return the bits of `names`, written with or without CAP_, in any case; ALL is all that we have.

    Raises EngineError for an unknown name. A known one that we don't have ourselves is left out.
    """
    mask = 0
    for name in names:
        plain = name.upper().removeprefix("CAP_")
        if plain == "ALL":
            mask |= permitted()
        elif plain in CAPABILITIES:
            mask |= 1 << CAPABILITIES.index(plain)
        else:
            raise EngineError(f"capability {name}: cannot use it: unknown", hint="see man 7 capabilities")
    return mask & permitted()


def drop_bounding(keep: int) -> None:
    """Remove everything but `keep` from the bounding set; raises OSError."""
    for number in range(last_capability() + 1):
        if not keep >> number & 1:
            syscall("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)


def set_capabilities(effective: int, permitted: int) -> None:
    """Set the effective and permitted sets; inheritable and ambient become empty. Raises OSError."""
    capset(effective, permitted)
    try:
        syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise


def capset(effective: int, permitted: int) -> None:
    """Set the effective and permitted sets, the inheritable one to nothing; raises OSError.

    Inheritable stays empty always: file capabilities would otherwise hand it on (CVE-2022-24769).
    """
    header = _Header(_VERSION_3, 0)
    low = 0xFFFFFFFF
    data = (ctypes.c_uint32 * 6)(effective & low, permitted & low, 0, effective >> 32, permitted >> 32, 0)
    syscall("capset", ctypes.byref(header), ctypes.byref(data))
