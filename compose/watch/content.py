"""What is in a file: copied whole or not at all, with its holes, and compared."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pycompose.watch.manifest import FileEntry

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
# So much is copied until somebody looks whether it is still what it was.
_AT_ONCE = 8 << 20
# stat(2): the unit of st_blocks.
_BLOCK = 512


class Changing(OSError):  # noqa: N818 - it is about to be tried again
    """The source isn't any more what it was when we looked: whoever changes it tells us when he is done."""


def check_unchanged(reading: int, entry: FileEntry) -> None:
    """Raise Changing when an open file isn't what `entry` says any more."""
    status = os.fstat(reading)
    if (status.st_size, status.st_mtime_ns) != (entry.size, entry.mtime_ns) or not stat.S_ISREG(
        status.st_mode
    ):
        raise Changing(errno.EAGAIN, "changes while it is copied")


def copy(reading: int, writing: int, size: int, check: Callable[[], None] = lambda: None) -> None:
    """Copy `size` bytes to an empty file; where nothing is, nothing is written. Raises OSError, Changing.

    `check` is called now and then; what it raises ends the copying.
    """
    if size <= _PIECE:
        data = os.pread(reading, size + 1, 0) if size else b""
        while data:
            data = data[os.write(writing, data) :]
        return
    extents: Iterable[tuple[int, int]] = ((0, size),)
    if _stored(reading) < size:
        os.ftruncate(writing, size)
        extents = _extents(reading, size)
    for start, end in extents:
        at = os.lseek(writing, start, os.SEEK_SET)
        while at < end:
            copied = os.sendfile(writing, reading, at, min(end - at, _AT_ONCE))
            if not copied:
                raise Changing(errno.EAGAIN, "became shorter while it was copied")
            at += copied
            check()


def check_space(reading: int, writing: int, size: int) -> None:
    """Raise OSError before much is copied for nothing: what finds no place is tried again and again."""
    if size > _PIECE:
        space = os.fstatvfs(writing)
        if space.f_blocks and space.f_bfree * space.f_frsize < min(size, _stored(reading)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def same(reading: int, other: int) -> bool:
    """Tell whether two open files hold the same."""
    at = 0
    while True:
        ours = os.pread(reading, _PIECE, at)
        if os.pread(other, _PIECE, at) != ours:
            return False
        if not ours:
            return True
        at += len(ours)


def _stored(fd: int) -> int:
    """Return how many bytes of a file there are; less than its size for one with holes (or compressed)."""
    return os.fstat(fd).st_blocks * _BLOCK


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has something in it: (start, end) (lseek(2), SEEK_DATA)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno != errno.ENXIO:  # nothing more
                raise
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, min(end, size)
