"""Removing what is in a volume, and nothing that is mounted there.

A mount is somebody's directory that only looks as if it were the volume's: `rm -rf` would empty it. The table of mounts
is looked at first, and every directory is opened with RESOLVE_NO_XDEV (openat2(2)), which fails with EXDEV at a mount,
binds of the same filesystem included, so that one which comes meanwhile is safe, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from pycompose.engine.linux import mounts
from pycompose.engine.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_RESOLVE = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS


def is_mount(path: Path) -> bool:
    """Tell whether something is mounted on the directory `path`; raises OSError."""
    parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(openat2(parent, path.name, os.O_PATH | os.O_DIRECTORY, resolve=_RESOLVE))
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            return True
        raise
    finally:
        os.close(parent)
    return False


def mounts_below(path: Path) -> list[str]:
    """Return where something is mounted in `path`, itself included (proc_pid_mountinfo(5)); raises OSError."""
    top = os.path.realpath(path)
    found = []
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            place = os.fsdecode(line.split(b" ", 5)[4].decode("unicode_escape").encode("latin-1"))
            if place == top or place.startswith(f"{top}/"):
                found.append(place)
    return found


def unmount(paths: StatePaths, name: str) -> None:
    """Unmount whatever is mounted on the volume's `_data`, and forget its users; the caller holds its lock.

    Containers keep what they have of it. Raises OSError.
    """
    users, data = paths.volume_users(name), paths.volume(name) / "_data"
    with contextlib.suppress(FileNotFoundError):
        while is_mount(data):
            mounts.umount(str(data))
    with contextlib.suppress(FileNotFoundError):
        for user in os.listdir(users):
            (users / user).unlink(missing_ok=True)
        users.rmdir()


def remove_tree(path: Path) -> None:
    """Remove the directory `path` and all in it. Raises OSError, and has changed nothing, where something is mounted.

    Directories are moved up as they are met and emptied there: names may be nested deeper than paths or recursion go.
    """
    if places := mounts_below(path):
        raise OSError(errno.EBUSY, "something is mounted there", places[0])
    top = os.open(path, _FLAGS | os.O_CLOEXEC)
    try:
        unique = f".{os.urandom(8).hex()}."
        pending, number = [""], 0
        while pending:
            name = pending.pop()
            directory = openat2(top, name or ".", _FLAGS, resolve=_RESOLVE)
            try:
                for inner in _remove_files(directory):
                    number += 1
                    pending.append(f"{unique}{number}")
                    os.rename(inner, pending[-1], src_dir_fd=directory, dst_dir_fd=top)
            finally:
                os.close(directory)
            if name:
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path)


def _remove_files(directory: int) -> list[str]:
    """Remove what isn't a directory; return the names of those that are."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in found if is_directory]
