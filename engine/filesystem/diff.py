"""What a container has changed in its root file system: the upper directory of an overlay compared with its lowers.

kernel: filesystems/overlayfs.rst. Everything is opened by descriptors without following links, since a container may
be writing meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.images.layers.lower_layers import is_opaque
from pycompose.engine.images.layers.tree import OPEN_DIRECTORY
from pycompose.engine.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from pycompose.engine.linux.whiteouts import is_whiteout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

ADDED, CHANGED, DELETED = "A", "C", "D"
_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def differences(
    upper: Path, lowers: Sequence[str], leave_out: Iterable[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield (ADDED, CHANGED or DELETED, path without a leading slash), sorted within each directory.

    `lowers` come topmost first, `leave_out` are paths that are nobody's business. Raises OSError.
    """
    hidden = frozenset(leave_out)
    with contextlib.ExitStack() as stack:
        top, *below = [os.open(path, OPEN_DIRECTORY) for path in (str(upper), *lowers)]
        for fd in (top, *below):
            stack.callback(os.close, fd)
        pending = [(b"", False)]
        while pending:
            here, covered = pending.pop()
            fd = openat2(top, here or b".", OPEN_DIRECTORY, resolve=_INSIDE)
            try:
                covered = covered or (bool(here) and is_opaque(fd))
                names = sorted(os.fsencode(name) for name in os.listdir(fd))
                prefix = here + b"/" if here else b""
                found = []
                for path in (prefix + name for name in names if prefix + name not in hidden):
                    mode, gone = _look(fd, path.rpartition(b"/")[2])
                    known = not covered and _exists(below, path)
                    if gone and known:
                        yield DELETED, path
                    elif mode and not gone:
                        yield CHANGED if known else ADDED, path
                    if stat.S_ISDIR(mode):
                        found.append((path, covered or not known))
                pending += reversed(found)
            finally:
                os.close(fd)


def _look(directory: int, name: bytes) -> tuple[int, bool]:
    """Return the mode of an entry (0 when it has just gone), and whether it is a whiteout."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return 0, False
    return status.st_mode, stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _exists(lowers: Iterable[int], path: bytes) -> bool:
    """Tell whether the merged lower directories have `path`."""
    for lower in lowers:
        try:
            fd = openat2(lower, path, _ITSELF, resolve=_INSIDE)
        except OSError as exc:
            # Something else in the place of a parent hides the parents below it, as an opaque one does.
            if exc.errno != errno.ENOENT or _opaque_parent(lower, path):
                return False
            continue
        try:
            return not is_whiteout(f"/proc/self/fd/{fd}", os.fstat(fd))
        finally:
            os.close(fd)
    return False


def _opaque_parent(lower: int, path: bytes) -> bool:
    parents = path.split(b"/")[:-1]
    for depth in range(1, len(parents) + 1):
        try:
            fd = openat2(lower, b"/".join(parents[:depth]), OPEN_DIRECTORY, resolve=_INSIDE)
        except OSError:
            return False
        opaque = is_opaque(fd)
        os.close(fd)
        if opaque:
            return True
    return False
