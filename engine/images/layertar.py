"""Directories become tars: the upper of an overlay a layer, all layers of a container one root file system.

image-spec layer.md: a file that is gone is `.wh.NAME`, a directory that hides what is below is
`.wh..wh..opq` in it. Everything is opened by descriptors without following links, since a container may be
writing meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.images.settle import is_opaque
from pycompose.engine.images.tree import OPEN_DIRECTORY
from pycompose.engine.images.unpack import OPAQUE, WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pycompose.engine.images.tarwriter import TarWriter

_LEFT_OUT = (b"trusted.overlay.", b"user.overlay.", b"security.selinux", b"security.ima", b"security.evm")


class LayerTar:
    """Writes trees into one tar; hard links are kept across all of them."""

    def __init__(self, writer: TarWriter, *, leave_out: Iterable[bytes] = ()) -> None:
        self._writer = writer
        self._seen: dict[tuple[int, int], bytes] = {}
        self._leave_out = frozenset(leave_out)

    def diff(self, upper: Path) -> None:
        """Write the upper directory of an overlay as a layer. Raises OSError."""
        top = os.open(upper, OPEN_DIRECTORY)
        self._directory([top], b"", keep_whiteouts=True)

    def merged(self, layers: Sequence[Path], target: bytes = b"") -> None:
        """Write what overlayfs shows of `layers` (topmost first) at `target`. Raises OSError."""
        self._directory([os.open(path, OPEN_DIRECTORY) for path in layers], target, keep_whiteouts=False)

    def _directory(self, stack: list[int], path: bytes, *, keep_whiteouts: bool) -> None:
        """Write one directory (its descriptors, topmost first, are closed) and what is below."""
        pending: list[tuple[list[int], bytes]] = [(stack, path)]
        try:
            while pending:
                fds, here = pending.pop()
                try:
                    if here:
                        self._writer.add(here, os.fstat(fds[0]), xattrs=read_xattrs(fds[0]))
                    if keep_whiteouts and is_opaque(fds[0]):
                        self._writer.add_bytes(here + b"/" + OPAQUE if here else OPAQUE, b"")
                    below = self._entries(fds, here, keep_whiteouts=keep_whiteouts)
                    pending += reversed(below)
                finally:
                    for fd in fds:
                        os.close(fd)
        finally:
            for fds, _ in pending:
                for fd in fds:
                    os.close(fd)

    def _entries(self, fds: list[int], here: bytes, *, keep_whiteouts: bool) -> list[tuple[list[int], bytes]]:
        """Write what isn't a directory, return the directories."""
        below: list[tuple[list[int], bytes]] = []
        for name, owners in sorted(_merge(fds).items()):
            path = here + b"/" + name if here else name
            if path in self._leave_out:
                continue
            status = os.stat(name, dir_fd=owners[0], follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                if keep_whiteouts:
                    self._writer.add_bytes(here + b"/" + WHITEOUT + name if here else WHITEOUT + name, b"")
            elif stat.S_ISDIR(status.st_mode):
                below.append((_open_all(name, owners), path))
            else:
                self._file(owners[0], name, path, status)
        return below

    def _file(self, directory: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        if stat.S_ISSOCK(status.st_mode):
            return
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if key in self._seen:
                self._writer.add_hardlink(path, self._seen[key], status)
                return
            self._seen[key] = path
        if stat.S_ISLNK(status.st_mode):
            self._writer.add(path, status, link=os.readlink(name, dir_fd=directory))
        elif stat.S_ISREG(status.st_mode):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            try:
                self._writer.add(path, os.fstat(fd), file=fd, xattrs=read_xattrs(fd))
            finally:
                os.close(fd)
        else:
            self._writer.add(path, status)


def _merge(fds: list[int]) -> dict[bytes, list[int]]:
    """Return each name that shows, with the layers that have it, topmost first."""
    names: dict[bytes, list[int]] = {}
    for fd in fds:
        with os.scandir(fd) as entries:
            for entry in entries:
                names.setdefault(os.fsencode(entry.name), []).append(fd)
    return names


def _open_all(name: bytes, owners: list[int]) -> list[int]:
    """Return the directory `name` in each layer down to one that ends it: another kind, or an opaque mark."""
    found: list[int] = []
    for owner in owners:
        try:
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=owner)
        except OSError as exc:
            if exc.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                break
            raise
        found.append(fd)
        if is_opaque(fd):
            break
    return found


def read_xattrs(fd: int) -> dict[bytes, bytes]:
    """Return the extended attributes that belong into a layer."""
    try:
        names = [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError:
        return {}
    found = {}
    for name in names:
        if not name.startswith(_LEFT_OUT) and not name.startswith(b"trusted."):
            with contextlib.suppress(OSError):
                found[name] = os.getxattr(fd, name)
    return found
