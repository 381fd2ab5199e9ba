"""Paths that are longer than the kernel takes at once (PATH_MAX): trees of many levels have such."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, TypeVar

from pycompose.engine.linux import fs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

# limits.h, with the zero byte.
PATH_MAX = 4096
# What stands before the rest of a path: /proc/self/fd/N/.
_PREFIX = 64
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def reached(call: Callable[[str], _T], path: str) -> _T:
    """Return `call(path)`; where the path is too long for it, by another name. Raises what `call` does."""
    try:
        return call(path)
    except OSError as exc:
        if exc.errno != errno.ENAMETOOLONG or len(os.fsencode(path)) < PATH_MAX:
            raise
    with _near(path) as name:
        return call(name)


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open `path` inside `root` as `fs.open_in_root` does; no link is followed beyond the first PATH_MAX bytes."""
    pieces = _pieces(os.fsencode(path), PATH_MAX - 1)
    fd = fs.open_in_root(root, pieces[0], os.O_PATH if pieces[1:] else flags)
    for number, piece in enumerate(pieces[1:], 2):
        resolve = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS
        try:
            below = fs.openat2(fd, piece, flags if number == len(pieces) else _DIRECTORY, resolve=resolve)
        finally:
            os.close(fd)
        fd = below
    return fd


@contextlib.contextmanager
def _near(path: str) -> Iterator[str]:
    """Yield a name of `path` that begins with a descriptor of a directory on the way. Raises OSError."""
    *above, last = _pieces(os.fsencode(path), PATH_MAX - _PREFIX)
    fd = os.open("/", _DIRECTORY)
    try:
        for piece in above:
            below = os.open(piece, _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield f"/proc/self/fd/{fd}/{os.fsdecode(last)}"
    finally:
        os.close(fd)


def _pieces(path: bytes, size: int) -> list[bytes]:
    """Part a path between names, in pieces of at most `size` bytes."""
    found = []
    while len(path) > size and (cut := path.rfind(b"/", 1, size)) > 0:
        found.append(path[:cut])
        path = path[cut + 1 :]
    return [*found, path]
