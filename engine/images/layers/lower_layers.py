"""What a layer needs to know of the layers below it, done when those are complete.

The unpacked directory is made ready for overlayfs: implied parents take the metadata they cover (else /tmp
would lose its 1777), hard links to files of lower layers get a copy, opaque directories their mark, and
whiteouts that hide nothing go, because overlayfs shows them in directories that only one layer has.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers.tree import MAX_SYMLINKS, OPEN_DIRECTORY, DirectoryMetadata, LayerTree
from pycompose.engine.images.layers.unpack import apply_metadata
from pycompose.engine.linux.whiteouts import OPAQUE_XATTRS, is_whiteout, make_opaque, make_whiteout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.engine.images.layers.unpack import Report

_COPY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LowerEntry:
    """Something that the merged lower layers show: where it lies and what it is.

    The caller closes `directory`.
    """

    directory: int
    name: bytes
    status: os.stat_result


class LowerView:
    """What the layers below show together, as overlayfs would: topmost first.

    Whiteouts and opaque marks honoured.
    """

    def __init__(self, lowers: Sequence[Path]) -> None:
        self._roots = [os.open(path, OPEN_DIRECTORY) for path in lowers]

    def close(self) -> None:
        """Close the layers."""
        for fd in self._roots:
            os.close(fd)

    def find(self, path: bytes) -> LowerEntry | None:
        """Return what is at `path`, not following symbolic links; None for nothing.

        Also below a non-directory.
        """
        parts = path.split(b"/")
        for root in self._roots:
            found, hidden = _find_in(root, parts)
            if found is not None or hidden:
                return found
        return None

    def resolve(self, path: bytes) -> bytes | None:
        """Return the canonical path of the directory that `path` leads to, None when there is none."""
        pending = path.split(b"/")
        where: list[bytes] = []
        links = 0
        while pending:
            name = pending.pop(0)
            if name == b"..":
                del where[-1:]
                continue
            found = self.find(b"/".join([*where, name]))
            if found is None:
                return None
            try:
                mode = found.status.st_mode
                if stat.S_ISLNK(mode):
                    links += 1
                    if links > MAX_SYMLINKS:
                        return None
                    target = os.readlink(found.name, dir_fd=found.directory)
                    where = [] if target.startswith(b"/") else where
                    pending = [part for part in target.split(b"/") if part not in (b"", b".")] + pending
                elif stat.S_ISDIR(mode):
                    where.append(name)
                else:
                    return None
            finally:
                os.close(found.directory)
        return b"/".join(where)


def _find_in(root: int, parts: list[bytes]) -> tuple[LowerEntry | None, bool]:
    """Look in one layer; the second value says that this layer hides what lower ones have there."""
    fd = os.dup(root)
    opaque = False
    try:
        for name in parts[:-1]:
            try:
                child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                return None, opaque
            except OSError as exc:
                if exc.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                    return None, True  # a file, link or whiteout covers the directory
                raise
            os.close(fd)
            fd = child
            opaque = opaque or is_opaque(fd)
        try:
            status = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return None, opaque
        if is_whiteout(b"/proc/self/fd/%d/%s" % (fd, parts[-1]), status):
            return None, True
        found, fd = LowerEntry(fd, parts[-1], status), -1
        return found, False
    finally:
        if fd >= 0:
            os.close(fd)


def is_opaque(fd: int) -> bool:
    """Tell whether overlayfs takes the directory as opaque."""
    for name in OPAQUE_XATTRS:
        try:
            if os.getxattr(fd, name) == b"y":
                return True
        except OSError:
            continue
    return False


def finish_layer(
    layer: Path, report: Report, lowers: Sequence[Path] | None, *, privileged: bool | None = None
) -> None:
    """Finish the unpacked directory `layer`, which lies on `lowers` (topmost first); None: it is known to fit.

    Raises ArchiveError when the layer can't lie on them, OSError for a full disk.
    """
    root = os.open(layer, OPEN_DIRECTORY)
    view = LowerView(lowers or ())
    try:
        privileged = os.geteuid() == 0 if privileged is None else privileged
        finisher = _LayerFinisher(root, view, privileged=privileged, fits=lowers is None)
        finisher.run(report)
    finally:
        view.close()
        os.close(root)


class _LayerFinisher:
    def __init__(self, root: int, view: LowerView, *, privileged: bool, fits: bool) -> None:
        self._fits = fits
        self._tree = LayerTree(root)
        self._view = view
        self._privileged = privileged
        self._opaque: set[bytes] = set()
        self._moved: list[tuple[bytes, bytes]] = []

    def run(self, report: Report) -> None:
        try:
            self._opaque = set(report.opaque)
            for path in sorted(report.implied, key=lambda item: item.count(b"/")):
                self._implied(self._now(path))
            for path, target in report.hardlinks:
                self._hardlink(self._now(path), self._now(target))
            for path in report.whiteouts:
                self._whiteout(self._now(path))
            for path in report.opaque:
                found = self._tree.find(_split(self._now(path)))
                if found is not None:
                    make_opaque(found[0], privileged=self._privileged)
        finally:
            self._tree.close()

    def _now(self, path: bytes) -> bytes:
        """Return where `path` lies after what was moved."""
        for old, new in self._moved:
            if path.startswith(old + b"/"):
                path = b"/".join(part for part in (new, path[len(old) + 1 :]) if part)
        return path

    def _covered(self, path: bytes) -> bool:
        """Tell whether an opaque directory of this layer hides what is below `path`."""
        return b"" in self._opaque or any(
            path == opaque or path.startswith(opaque + b"/") for opaque in self._opaque
        )

    def _implied(self, path: bytes) -> None:
        if self._covered(path):
            return
        found = self._view.find(path or b".")
        if found is None:
            return
        try:
            if stat.S_ISLNK(found.status.st_mode):
                self._follow(path)
            elif stat.S_ISDIR(found.status.st_mode):
                own = self._tree.find(_split(path))
                if own is not None:
                    self._copy_metadata(found, own[0])
        finally:
            os.close(found.directory)

    def _copy_metadata(self, found: LowerEntry, own: int) -> None:
        source = os.open(found.name, OPEN_DIRECTORY, dir_fd=found.directory)
        try:
            xattrs = {os.fsencode(name): os.getxattr(source, name) for name in _listxattr(source)}
        finally:
            os.close(source)
        status = found.status
        metadata = DirectoryMetadata(
            stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs
        )
        apply_metadata(own, metadata, privileged=self._privileged)

    def _follow(self, path: bytes) -> None:
        """Move the content of an implied directory to where a lower symbolic link of its name leads.

        A layer that only says `lib/x` on a base whose /lib is a link to usr/lib means usr/lib/x.
        """
        target = self._view.resolve(path)
        own = self._tree.find(_split(path))
        if target is None or own is None or target == path or target.startswith(path + b"/"):
            return
        directory = self._directory(target)
        _move_children(own[0], directory)
        self._moved.append((path, target))
        parent_path, _, base = path.rpartition(b"/")
        parent = self._tree.find(_split(parent_path))
        if parent is not None:
            os.rmdir(base, dir_fd=parent[0])
        self._tree.forget_open()

    def _directory(self, path: bytes) -> int:
        """Return the directory `path` of this layer, made like the lower ones where it is missing."""
        before = set(self._tree.directories)
        fd, _ = self._tree.parent(_split(path))
        for made in sorted(set(self._tree.directories) - before, key=lambda item: item.count(b"/")):
            own = self._tree.find(_split(made))
            if own is not None:
                os.fchmod(own[0], 0o755)
            self._implied(made)
        return fd

    def _hardlink(self, path: bytes, target: bytes) -> None:
        directory_path, _, base = target.rpartition(b"/")
        source = self._tree.find(_split(directory_path))
        if source is None or not _exists(source[0], base):
            found = None if self._covered(directory_path) else self._view.find(target)
            if found is None:
                raise ArchiveError(
                    f"entry {os.fsdecode(path)!r}: a hard link to {os.fsdecode(target)!r}, which no layer has"
                )
            try:
                _copy(found, self._directory(directory_path), privileged=self._privileged)
            finally:
                os.close(found.directory)
            source = self._tree.find(_split(directory_path))
        link_directory, _, name = path.rpartition(b"/")
        destination = self._tree.find(_split(link_directory))
        if source is not None and destination is not None:
            os.link(base, name, src_dir_fd=source[0], dst_dir_fd=destination[0], follow_symlinks=False)

    def _whiteout(self, path: bytes) -> None:
        directory, _, base = path.rpartition(b"/")
        found = None if self._covered(directory) else self._view.find(path)
        if found is not None:
            os.close(found.directory)
        own = self._tree.find(_split(directory))
        if own is None:
            return
        exists = _exists(own[0], base)
        if not (found or (self._fits and not self._covered(directory))):
            if exists:
                os.unlink(base, dir_fd=own[0])
        elif not exists:  # it lies on an overlay
            status = os.fstat(own[0])
            make_whiteout(own[0], base)
            os.utime(own[0], ns=(status.st_atime_ns, status.st_mtime_ns))


def _split(path: bytes) -> list[bytes]:
    return path.split(b"/") if path else []


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _listxattr(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError:
        return []


def _move_children(source: int, target: int) -> None:
    """Move everything into `target`; directories that both have are merged, otherwise what comes wins."""
    for name in os.listdir(source):
        try:
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR):
                raise
            inner, into = (os.open(name, OPEN_DIRECTORY, dir_fd=fd) for fd in (source, target))
            try:
                _move_children(inner, into)
            finally:
                os.close(inner)
                os.close(into)
            os.rmdir(name, dir_fd=source)


def _copy(found: LowerEntry, directory: int, *, privileged: bool) -> None:
    """Copy a file or link of a lower layer with its owner, mode, attributes and time."""
    status = found.status
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(found.name, dir_fd=found.directory), found.name, dir_fd=directory)
        if privileged:
            os.chown(found.name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
        return
    if not stat.S_ISREG(status.st_mode):
        raise ArchiveError(f"a hard link to {os.fsdecode(found.name)!r}, which is not a file")
    source = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.directory)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(found.name, flags, 0o600, dir_fd=directory)
        try:
            while os.sendfile(target, source, None, _COPY_BYTES):
                pass
            xattrs = {os.fsencode(name): os.getxattr(source, name) for name in _listxattr(source)}
            metadata = DirectoryMetadata(
                stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs
            )
            apply_metadata(target, metadata, privileged=privileged)
        finally:
            os.close(target)
    finally:
        os.close(source)
