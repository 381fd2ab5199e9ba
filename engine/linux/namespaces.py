"""Namespaces: making, joining, naming (namespaces(7))."""

from __future__ import annotations

import os

from pycompose.engine.linux.libc import call

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

KINDS = {
    "mnt": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "net": CLONE_NEWNET,
}


def open_namespace(pid: int | str, kind: str) -> int:
    """Return a descriptor of the namespace of `kind` (a key of KINDS) of process `pid`; raises OSError."""
    return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def is_ours(namespace: int | str, kind: str) -> bool:
    """Tell whether that namespace, a descriptor or a name in /proc, is the one this process is in; raises OSError."""
    return os.stat(namespace).st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino


def setns(fd: int, kinds: int) -> None:
    """Join the namespace `fd`, or those of `kinds` when `fd` is a pidfd (Linux 5.8); raises OSError."""
    call("setns", fd, kinds)


def unshare(kinds: int) -> None:
    """Leave the shared namespaces of `kinds` for new ones; raises OSError."""
    call("unshare", kinds)


def set_domain_name(name: str) -> None:
    """Set the NIS domain name of this UTS namespace; raises OSError."""
    call("setdomainname", name, len(os.fsencode(name)), path=name)
