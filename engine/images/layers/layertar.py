"""The upper directory of an overlay becomes a layer.

image-spec layer.md: a file that is gone is `.wh.NAME`, a directory that hides what is below is `.wh..wh..opq` in it.
Everything is opened by descriptors without following links, since a container may be writing meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.images.layers.lower_layers import is_opaque
from pycompose.engine.images.layers.tree import OPEN_DIRECTORY
from pycompose.engine.images.layers.unpack import OPAQUE, WHITEOUT
from pycompose.engine.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycompose.engine.images.layers.tarwriter import TarWriter

_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_LEFT_OUT = (b"trusted.", b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm")


class LayerTar:
    """Writes upper directories into one tar, sorted; hard links are kept across all of them.

    `leave_out` are paths (relative, without a leading slash) that don't belong to the image.
    """

    def __init__(self, writer: TarWriter, *, leave_out: Iterable[bytes] = ()) -> None:
        self._writer = writer
        self._seen: dict[tuple[int, int], bytes] = {}
        self._leave_out = frozenset(leave_out)

    def diff(self, upper: Path) -> None:
        """Write the upper directory of an overlay as a layer. Raises OSError."""
        top = os.open(upper, OPEN_DIRECTORY)
        try:
            pending = [b""]
            while pending:
                here = pending.pop()
                fd = openat2(top, here or b".", OPEN_DIRECTORY, resolve=_INSIDE)
                try:
                    pending += reversed(self._directory(fd, here))
                finally:
                    os.close(fd)
        finally:
            os.close(top)

    def _directory(self, fd: int, here: bytes) -> list[bytes]:
        """Write a directory and what isn't one in it, return the paths of the directories in it."""
        prefix = here + b"/" if here else b""
        if here:
            self._writer.add(here, os.fstat(fd), xattrs=read_xattrs(fd))
        if is_opaque(fd):
            self._writer.add_bytes(prefix + OPAQUE, b"")
        below: list[bytes] = []
        for name in sorted(os.fsencode(entry) for entry in os.listdir(fd)):
            path = prefix + name
            if path in self._leave_out:
                continue
            # A running container may put something else under the name: what was looked at is what is opened.
            itself = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                status = os.fstat(itself)
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    self._writer.add_bytes(prefix + WHITEOUT + name, b"")
                elif stat.S_ISDIR(status.st_mode):
                    below.append(path)
                else:
                    self._file(itself, path, status)
            finally:
                os.close(itself)
        return below

    def _file(self, itself: int, path: bytes, status: os.stat_result) -> None:
        if stat.S_ISSOCK(status.st_mode):
            return
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if key in self._seen:
                self._writer.add_hardlink(path, self._seen[key], status)
                return
            self._seen[key] = path
        if stat.S_ISLNK(status.st_mode):
            self._writer.add(path, status, link=os.readlink(b"", dir_fd=itself))
        elif stat.S_ISREG(status.st_mode):
            fd = os.open(f"/proc/self/fd/{itself}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._writer.add(path, os.fstat(fd), file=fd, xattrs=read_xattrs(fd))
            finally:
                os.close(fd)
        else:
            self._writer.add(path, status)


def read_xattrs(fd: int) -> dict[bytes, bytes]:
    """Return the extended attributes that belong into a layer."""
    try:
        names = [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError:
        return {}
    found = {}
    for name in names:
        if not name.startswith(_LEFT_OUT):
            with contextlib.suppress(OSError):
                found[name] = os.getxattr(fd, name)
    return found
