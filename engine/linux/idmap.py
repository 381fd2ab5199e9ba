"""Mounts on which ids are others than on the disk (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12).

The kernel takes the mapping from a user namespace, whose ids within are those on the disk, and whose ids outside those
that are seen. It is made by a process that leaves for a namespace of its own and stays until its maps are written.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from pycompose.engine.linux import namespaces

# Id on the disk, id that is seen, count.
IdRange = tuple[int, int, int]
_ALL = 2**32 - 1


def extents(ranges: Sequence[IdRange]) -> list[IdRange]:
    """Return `ranges` with all other ids as they are.

    An id that another one is seen as has nobody it could be seen as itself: it is nobody's. Without, a container could
    make files of the machine's root by a user that stands for it, set-user-ID ones included.
    """
    taken = sorted((start, start + count) for disk, seen, count in ranges for start in (disk, seen))
    found, free = list(ranges), 0
    for start, end in (*taken, (_ALL, _ALL)):
        if start > free:
            found.append((free, free, start - free))
        free = max(free, end)
    return sorted(found)


def user_namespace(uids: Sequence[IdRange], gids: Sequence[IdRange]) -> int:
    """Return a descriptor of a new user namespace with these mappings. Raises OSError."""
    ready, tell = os.pipe2(os.O_CLOEXEC)
    wait, go = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        _stay(tell, wait, (ready, go))
    os.close(tell)
    os.close(wait)
    try:
        # Its own pid may be one of another pid namespace than that of the /proc that we see.
        name = os.read(ready, 64).decode()
        if not name.isdigit():
            number = int(name.lstrip("-") or errno.ECHILD)
            raise OSError(number, f"unshare: {os.strerror(number)}")
        for kind, ranges in (("uid", uids), ("gid", gids)):
            lines = "".join(f"{disk} {seen} {count}\n" for disk, seen, count in extents(ranges))
            fd = os.open(f"/proc/{name}/{kind}_map", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, lines.encode())  # in one piece, as the kernel wants it
            finally:
                os.close(fd)
        return namespaces.open_namespace(name, "user")
    finally:
        os.close(ready)
        os.close(go)
        os.waitpid(pid, 0)


def _stay(tell: int, wait: int, others: tuple[int, ...]) -> NoReturn:
    """Be in a user namespace of one's own until the other end of `wait` is closed; tell one's pid, or -errno."""
    try:
        for fd in others:
            os.close(fd)
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        os.write(tell, os.readlink("/proc/self").encode())
        os.read(wait, 1)
    except OSError as exc:
        os.write(tell, f"-{exc.errno}".encode())
    finally:
        os._exit(0)
