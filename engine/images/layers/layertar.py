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
from pycompose.engine.linux.whiteouts import is_whiteout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pycompose.engine.images.layers.tarwriter import TarWriter

_READ = os.O_RDONLY | os.O_CLOEXEC
_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_LEFT_OUT = (b"trusted.", b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm")


class LayerTar:
    """Writes upper directories into one tar, sorted; hard links are kept across all of them.

    `leave_out` are paths (relative, without a leading slash) that don't belong to the image. `contents` is what some
    files (by such paths) are known to hold: they aren't read. With `at_rest` nobody else writes there.
    """

    def __init__(
        self,
        writer: TarWriter,
        *,
        leave_out: Iterable[bytes] = (),
        contents: Mapping[bytes, bytes] | None = None,
        at_rest: bool = False,
    ) -> None:
        self._writer = writer
        self._at_rest = at_rest
        self._contents = contents or {}
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
        xattrs = read_xattrs(fd)
        # In a directory with an access control list, files may have one from it.
        contents = {} if xattrs else self._contents
        if here:
            self._writer.add(here, os.fstat(fd), xattrs=xattrs)
        if is_opaque(fd):
            self._writer.add_bytes(prefix + OPAQUE, b"")
        below: list[bytes] = []
        for name in sorted(os.fsencode(entry) for entry in os.listdir(fd)):
            path = prefix + name
            if path in self._leave_out:
                continue
            if (data := contents.get(path)) is not None:
                self._writer.add(path, os.stat(name, dir_fd=fd, follow_symlinks=False), data=data)
                continue
            if self._at_rest:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                is_directory = self._entry(prefix, name, status, name, fd)
            else:
                # A running container may put something else under the name: what was looked at is what is opened.
                itself = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                try:
                    is_directory = self._entry(prefix, name, os.fstat(itself), b"", itself)
                finally:
                    os.close(itself)
            if is_directory:
                below.append(path)
        return below

    def _entry(self, prefix: bytes, name: bytes, status: os.stat_result, own: bytes, directory: int) -> bool:
        """Write what isn't a directory, tell whether it is one: `own` in `directory`, or that descriptor itself."""
        if stat.S_ISDIR(status.st_mode):
            return True
        place = b"/proc/self/fd/%d" % directory + (b"/" + own if own else b"")
        path = prefix + name
        if is_whiteout(place, status):
            self._writer.add_bytes(prefix + WHITEOUT + name, b"")
        elif stat.S_ISSOCK(status.st_mode) or self._is_known(path, status):
            pass
        elif stat.S_ISLNK(status.st_mode):
            self._writer.add(path, status, link=os.readlink(own, dir_fd=directory))
        elif stat.S_ISREG(status.st_mode):
            fd = os.open(own, _READ | os.O_NOFOLLOW, dir_fd=directory) if own else os.open(place, _READ)
            try:
                self._writer.add(path, status if own else os.fstat(fd), file=fd, xattrs=read_xattrs(fd))
            finally:
                os.close(fd)
        else:
            self._writer.add(path, status)
        return False

    def _is_known(self, path: bytes, status: os.stat_result) -> bool:
        """Write one more name of a file that has several, unless it is the first."""
        if status.st_nlink == 1:
            return False
        key = (status.st_dev, status.st_ino)
        if key not in self._seen:
            self._seen[key] = path
            return False
        self._writer.add_hardlink(path, self._seen[key], status)
        return True


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
