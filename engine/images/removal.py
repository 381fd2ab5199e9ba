"""Removing whole trees, whatever a hostile archive has made of them."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def remove_tree(path: Path) -> int:
    """Remove a directory and everything below it, return the bytes of its files. Missing is fine.

    Deep trees of hostile archives need neither recursion nor long paths: directories are moved up to the top
    one as they are met, and emptied there.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        freed = empty_directory(top)
    finally:
        os.close(top)
    os.rmdir(path)
    return freed


def empty_directory(top: int) -> int:
    """Remove everything in the directory behind `top`, return the bytes of the files."""
    freed = number = 0
    unique = secrets.token_hex(8)
    pending = [""]
    while pending:
        name = pending.pop()
        fd = os.open(name or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        try:
            with os.scandir(fd) as found:
                entries = list(found)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    number += 1
                    moved = f".{unique}.{number}"
                    os.rename(entry.name, moved, src_dir_fd=fd, dst_dir_fd=top)
                    pending.append(moved)
                else:
                    status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                        freed += status.st_size
                    os.unlink(entry.name, dir_fd=fd)
        finally:
            os.close(fd)
        if name:
            os.rmdir(name, dir_fd=top)
    return freed
