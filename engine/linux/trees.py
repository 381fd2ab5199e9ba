"""Whole trees, whatever a container or a hostile archive has made of them: removed, and measured.

Names may be nested deeper than paths or recursion go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How often somebody else may be in between.
_TURNS = 100
_PAUSE_S = 0.005
# So deep a tree is emptied where it lies: moves between directories wait for all others of the file system.
_NEAR = 8


def remove_tree(path: Path) -> int:
    """Remove a directory and everything below it, return the bytes of its files. Missing is fine.

    Deep trees of hostile archives need neither deep recursion nor long paths: directories far down are moved up to the
    top one as they are met, and emptied there. Somebody else may be removing it, too: whoever returns first has seen it
    go.
    Raises OSError, ENOTEMPTY when somebody fills it as fast as it is emptied.
    """
    freed = 0
    for turn in range(_TURNS):
        try:
            top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            break
        try:
            freed += empty_directory(top)
        finally:
            os.close(top)
        try:
            os.rmdir(path)
        except FileNotFoundError:
            break
        except OSError as exc:
            if exc.errno != errno.ENOTEMPTY or turn == _TURNS - 1:
                raise
            time.sleep(_PAUSE_S)  # the other one has moved something up since we looked
        else:
            break
    return freed


def empty_directory(top: int) -> int:
    """Remove everything in the directory behind `top`, return the bytes of the files; what goes meanwhile is gone."""
    freed = number = 0
    unique = os.urandom(8).hex()
    pending = [""]

    def empty(fd: int, depth: int) -> None:
        nonlocal freed, number
        with os.scandir(fd) as found:
            entries = list(found)
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if not entry.is_dir(follow_symlinks=False):
                    status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    os.unlink(entry.name, dir_fd=fd)
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                        freed += status.st_size
                elif depth < _NEAR:
                    with _opened(entry.name, fd) as inner:
                        empty(inner, depth + 1)
                    os.rmdir(entry.name, dir_fd=fd)
                else:
                    number += 1
                    moved = f".{unique}.{number}"
                    os.rename(entry.name, moved, src_dir_fd=fd, dst_dir_fd=top)
                    pending.append(moved)

    while pending:
        name = pending.pop()
        with contextlib.suppress(FileNotFoundError):
            with _opened(name or ".", top) as fd:
                empty(fd, 0)
            if name:
                os.rmdir(name, dir_fd=top)
    return freed


@contextlib.contextmanager
def _opened(name: str, parent: int) -> Iterator[int]:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def files_below(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of whatever isn't a directory below `path`, links themselves.

    What goes meanwhile is left out, and so is what lies deeper than a path can be long (PATH_MAX).
    """
    pending = [os.fspath(path)]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    with contextlib.suppress(OSError):
                        yield entry.stat(follow_symlinks=False)
