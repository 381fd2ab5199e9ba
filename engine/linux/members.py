"""Which processes are a container's, where no control group tells: by namespaces, and by who has started whom."""

from __future__ import annotations

import contextlib
import os


def of(pid: int, *, host_pids: bool = False) -> list[int]:
    """Return the processes of the container whose process is `pid`.

    Ours that only look in from outside aren't among them, unless it has the machine's pid namespace (`host_pids`).
    """
    outside = namespace(os.getpid(), "pid")
    found = of_mount_namespace(namespace(pid, "mnt"))
    return found if host_pids else [one for one in found if namespace(one, "pid") not in (outside, 0)]


def of_mount_namespace(inode: int) -> list[int]:
    """Return the processes in a mount namespace, and those that they have started; none for our own, or for 0."""
    if not inode or inode == namespace(os.getpid(), "mnt"):
        return []
    parents: dict[int, int] = {}
    inside: set[int] = set()
    for one in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError, IndexError):
            parents[one] = int(stat(one)[1])
            if namespace(one, "mnt") == inode:
                inside.add(one)
    more = inside
    while more:
        more = {one for one, parent in parents.items() if parent in more} - inside
        inside |= more
    return sorted(inside)


def namespace(pid: int, kind: str) -> int:
    """Return the number of a namespace of a process, 0 when it has ended, or may not be looked at."""
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    return 0


def stat(pid: int) -> list[str]:
    """Return what is behind the name in proc_pid_stat(5): the state, the parent, and so on; raises OSError."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()
