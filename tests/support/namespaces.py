"""The few system calls with which tests make themselves a private machine (Python 3.11 has no os.setns)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Put the calling thread (for CLONE_NEWPID: its children) into the namespace behind `fd`."""
    _check(_libc.setns(fd, kind), f"setns {kind:#x}")


def mount(source: str, target: str | Path, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` on `target`."""
    _check(
        _libc.mount(
            source.encode(), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), data.encode()
        ),
        f"mount {source} on {target}",
    )


def umount(target: str | Path, flags: int = MNT_DETACH) -> None:
    """Unmount, lazily by default: umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def private_machine(scratch: Path) -> None:
    """Finish a fresh mount and network namespace: no propagation, a /sys of its own, loopback up.

    A new network namespace still sees the links of the old one in the old sysfs. `scratch` is an empty
    directory; the cgroup tree is parked there while /sys is mounted anew.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("/sys/fs/cgroup", scratch, flags=MS_BIND | MS_REC)
    mount("sysfs", "/sys", "sysfs")
    mount(str(scratch), "/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    umount(scratch)
    link_up("lo")


def link_up(name: str) -> None:
    """Set a link of the calling thread's network namespace up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
        request = struct.pack("16sh14x", name.encode(), 0)
        _name, flags = struct.unpack("16sh14x", fcntl.ioctl(handle, SIOCGIFFLAGS, request))
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags | IFF_UP))


def full_of_mounts(place: Path) -> None:
    """Mount until the kernel says that a mount namespace has no room for more (fs.mount-max)."""
    place.mkdir()
    mount("seed", place, "tmpfs")
    doubled = 0
    with contextlib.suppress(OSError):
        while True:
            (place / str(doubled)).mkdir()
            mount(str(place), place / str(doubled), flags=MS_BIND | MS_REC)
            doubled += 1
    for number in reversed(range(doubled)):
        (place / f"rest{number}").mkdir()
        with contextlib.suppress(OSError):
            mount(str(place / str(number)), place / f"rest{number}", flags=MS_BIND | MS_REC)
