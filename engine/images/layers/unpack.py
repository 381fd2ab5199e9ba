"""A layer tar becomes a directory that overlayfs can use as a lower layer.

The rules are those of the image specification (opencontainers/image-spec layer.md: whiteouts, opaque directories,
hard links), and what Docker does where it is silent.

Nothing outside the layer's own directory is ever opened (tree.py). What needs the layers below (implied
parents, hard links to lower files, whiteouts that hide nothing) is collected in a Report and done by
lower_layers.py, so that layers can unpack in any order, in parallel.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import FEW_IDS, ArchiveError
from pycompose.engine.images.layers import tarstream
from pycompose.engine.images.layers.tarstream import Entry, TarReader
from pycompose.engine.images.layers.tree import OPEN_DIRECTORY, DirectoryMetadata, LayerTree, components
from pycompose.engine.linux import userns
from pycompose.engine.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from pycompose.engine.linux.trees import empty_directory

if TYPE_CHECKING:
    from collections.abc import Callable

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."

MAX_ENTRIES = 5_000_000
MAX_ID = 2**32 - 2

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_XATTRS = (b"user.", b"security.capability", b"system.posix_acl_")
_DROPPED_XATTRS = (b"user.overlay.",)
_INSIDE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


@dataclass(slots=True)
class Report:
    """What is still to be done with one layer when those below it are there.

    Paths are relative, without a leading slash.
    """

    entries: int = 0
    size_bytes: int = 0
    implied: list[bytes] = field(default_factory=list)
    whiteouts: list[bytes] = field(default_factory=list)
    opaque: list[bytes] = field(default_factory=list)
    hardlinks: list[tuple[bytes, bytes]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Return JSON values; names that aren't UTF-8 travel as surrogates."""
        return {
            "entries": self.entries,
            "size_bytes": self.size_bytes,
            "implied": [os.fsdecode(path) for path in self.implied],
            "whiteouts": [os.fsdecode(path) for path in self.whiteouts],
            "opaque": [os.fsdecode(path) for path in self.opaque],
            "hardlinks": [[os.fsdecode(path), os.fsdecode(target)] for path, target in self.hardlinks],
            "warnings": self.warnings,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """Return the report that `to_json` made `value` from."""
        paths = {
            key: [os.fsencode(path) for path in value[key]] for key in ("implied", "whiteouts", "opaque")
        }
        return cls(
            entries=value["entries"],
            size_bytes=value["size_bytes"],
            hardlinks=[(os.fsencode(path), os.fsencode(target)) for path, target in value["hardlinks"]],
            warnings=value["warnings"],
            **paths,
        )


class Unpacker:
    """One layer on its way into the empty directory behind `root_fd`."""

    def __init__(self, root_fd: int, *, privileged: bool | None = None) -> None:
        self._tree = LayerTree(root_fd)
        self._privileged = os.geteuid() == 0 if privileged is None else privileged
        self._whiteouts: set[bytes] = set()
        self._opaque: set[bytes] = set()
        self._hardlinks: dict[bytes, bytes] = {}
        self._report = Report()
        self._makers: dict[bytes, Callable[[Entry, int, bytes, bytes], None]] = {
            tarstream.SYMLINK: self._symlink,
            tarstream.HARDLINK: self._hardlink,
            tarstream.CHARACTER: self._device,
            tarstream.BLOCK_DEVICE: self._device,
            tarstream.FIFO: self._device,
        }

    def unpack(self, reader: TarReader) -> Report:
        """Unpack all entries.

        Raises ArchiveError naming the entry; OSError only for a full or broken disk.
        """
        place = "at its start"
        old_umask = os.umask(0)
        try:
            for entry in reader:
                place = f"entry {os.fsdecode(entry.name)!r}"
                self._report.entries += 1
                if self._report.entries > MAX_ENTRIES:
                    raise ArchiveError(f"more than {MAX_ENTRIES} entries")
                self._one(entry, reader)
                place = "after " + place
            return self._finish()
        except ArchiveError as exc:
            raise ArchiveError(f"{place}: {exc.message}", hint=exc.hint) from exc
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE):
                raise
            if exc.errno == errno.EINVAL and not userns.is_initial():
                raise _foreign_owner(place) from exc
            raise ArchiveError(f"{place}: {exc.strerror}") from exc
        finally:
            os.umask(old_umask)
            self._tree.close()

    # Entries

    def _one(self, entry: Entry, reader: TarReader) -> None:
        if entry.uid > MAX_ID or entry.gid > MAX_ID:
            raise ArchiveError(f"owner {entry.uid}:{entry.gid} is out of range")
        parts = components(entry.name)
        if not parts:
            if entry.type != tarstream.DIRECTORY:
                raise ArchiveError("the root is not a directory")
            self._tree.directories[b""] = _metadata(entry)
            return
        base = parts[-1]
        parent, parent_path = self._tree.parent(parts[:-1])
        if base.startswith(WHITEOUT):
            self._whiteout(base, parent_path)
            return
        path = parent_path + b"/" + base if parent_path else base
        if entry.type == tarstream.REGULAR:
            self._regular(entry, parent, base, path, reader)
        elif entry.type == tarstream.DIRECTORY:
            self._directory(entry, parent, base, path)
        else:
            self._makers[entry.type](entry, parent, base, path)

    def _whiteout(self, base: bytes, parent_path: bytes) -> None:
        if base == OPAQUE:
            self._opaque.add(parent_path)
            return
        if base.startswith(AUFS):
            return
        hidden = base[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise ArchiveError("a whiteout of nothing")
        self._whiteouts.add(parent_path + b"/" + hidden if parent_path else hidden)

    def _regular(self, entry: Entry, parent: int, base: bytes, path: bytes, reader: TarReader) -> None:
        special = entry.mode & 0o7000
        try:
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, base, path)
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=parent)
        try:
            if entry.sparse is None:
                data = reader.whole()
                for chunk in (data,) if data is not None else reader.data():
                    written = os.write(fd, chunk) if chunk else 0
                    while written < len(chunk):
                        written += os.write(fd, chunk[written:])
            else:
                _write_sparse(fd, entry, reader)
            self._report.size_bytes += entry.size
            # A new file belongs to us already; its directory isn't setgid before the end.
            if self._privileged and (entry.uid or entry.gid):
                os.fchown(fd, entry.uid, entry.gid)
            if special:
                os.fchmod(fd, entry.mode)
            if entry.xattrs:
                set_xattrs(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        if self._hardlinks:
            self._hardlinks.pop(path, None)

    def _directory(self, entry: Entry, parent: int, base: bytes, path: bytes) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
                self._replace(parent, base, path)
                os.mkdir(base, 0o700, dir_fd=parent)
        self._hardlinks.pop(path, None)
        self._tree.directories[path] = _metadata(entry)

    def _symlink(self, entry: Entry, parent: int, base: bytes, path: bytes) -> None:
        if not entry.linkname:
            raise ArchiveError("a symbolic link to nothing")
        try:
            os.symlink(entry.linkname, base, dir_fd=parent)
        except FileExistsError:
            self._replace(parent, base, path)
            os.symlink(entry.linkname, base, dir_fd=parent)
        if self._privileged and (entry.uid or entry.gid):
            os.chown(base, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
        self._hardlinks.pop(path, None)

    def _hardlink(self, entry: Entry, parent: int, base: bytes, path: bytes) -> None:
        target = components(entry.linkname)
        if not target:
            raise ArchiveError("a hard link to the root")
        if target == path.split(b"/"):
            return
        found = self._tree.find(target[:-1])
        if found is None:
            self._replace(parent, base, path)
            self._hardlinks[path] = b"/".join(target)
            return
        directory, directory_path = found
        source_path = b"/".join([part for part in (directory_path, target[-1]) if part])
        if source_path == path:
            return
        try:
            status = os.stat(target[-1], dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            self._replace(parent, base, path)
            self._hardlinks[path] = self._hardlinks.get(source_path, source_path)
            return
        if stat.S_ISDIR(status.st_mode):
            raise ArchiveError(f"a hard link to the directory {os.fsdecode(entry.linkname)!r}")
        self._replace(parent, base, path)
        os.link(target[-1], base, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        self._hardlinks.pop(path, None)

    def _device(self, entry: Entry, parent: int, base: bytes, path: bytes) -> None:
        kind = {
            tarstream.CHARACTER: stat.S_IFCHR,
            tarstream.BLOCK_DEVICE: stat.S_IFBLK,
            tarstream.FIFO: stat.S_IFIFO,
        }[entry.type]
        if kind == stat.S_IFCHR and entry.major == 0 and entry.minor == 0:
            raise ArchiveError("the character device 0:0 is a whiteout in disguise")
        if kind != stat.S_IFIFO and not (self._privileged and userns.is_initial()):
            self._report.warnings.append(f"{os.fsdecode(entry.name)}: device node left out, it needs root")
            return
        if entry.major > 0xFFF or entry.minor > 0xFFFFF:
            raise ArchiveError(f"device number {entry.major}:{entry.minor} is out of range")
        self._replace(parent, base, path)
        os.mknod(base, kind | (entry.mode & 0o777), os.makedev(entry.major, entry.minor), dir_fd=parent)
        if self._privileged and (entry.uid or entry.gid):
            os.chown(base, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)
        self._hardlinks.pop(path, None)

    # Names

    def _replace(self, parent: int, base: bytes, path: bytes) -> None:
        """Remove what an earlier entry put at `path`, if any: the last of several entries counts."""
        try:
            mode = os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            os.unlink(base, dir_fd=parent)
            if stat.S_ISLNK(mode):
                self._tree.forget_open()
            return
        self._tree.forget_below(path)
        for pending in [p for p in self._hardlinks if p.startswith(path + b"/")]:
            del self._hardlinks[pending]
        fd = os.open(base, OPEN_DIRECTORY, dir_fd=parent)
        try:
            empty_directory(fd)
        finally:
            os.close(fd)
        os.rmdir(base, dir_fd=parent)

    # The end

    def _finish(self) -> Report:
        for path in sorted(self._whiteouts):
            self._make_whiteout(path)
        self._report.opaque = sorted(self._opaque)
        self._report.hardlinks = sorted(self._hardlinks.items())
        self._tree.forget_open()
        for path in sorted(self._tree.directories, key=lambda item: item.count(b"/"), reverse=True):
            metadata = self._tree.directories[path]
            fd = (
                os.dup(self._tree.root)
                if not path
                else openat2(self._tree.root, path, OPEN_DIRECTORY, resolve=_INSIDE)
            )
            try:
                if metadata is None:
                    self._report.implied.append(path)
                    os.fchmod(fd, 0o755)
                else:
                    apply_metadata(fd, metadata, privileged=self._privileged)
            finally:
                os.close(fd)
        self._report.implied.reverse()
        return self._report

    def _make_whiteout(self, path: bytes) -> None:
        """Hide `path` of the layers below, unless this layer has one of its own: then only that one shows."""
        directory, _, base = path.rpartition(b"/")
        found = self._tree.find(directory.split(b"/") if directory else [])
        if found is None:
            return
        try:
            status = os.stat(base, dir_fd=found[0], follow_symlinks=False)
        except FileNotFoundError:
            # Where the file system is an overlay, who finishes the layer makes the other form: that takes a privilege.
            with contextlib.suppress(PermissionError):
                os.mknod(base, stat.S_IFCHR, 0, dir_fd=found[0])
            self._report.whiteouts.append(path)
            return
        if stat.S_ISDIR(status.st_mode):
            self._opaque.add(path)


def _metadata(entry: Entry) -> DirectoryMetadata:
    return DirectoryMetadata(
        mode=entry.mode, uid=entry.uid, gid=entry.gid, mtime_ns=entry.mtime_ns, xattrs=entry.xattrs
    )


def _write_sparse(fd: int, entry: Entry, reader: TarReader) -> None:
    regions = iter(entry.sparse or [])
    offset = left = 0
    for chunk in reader.data():
        rest = chunk
        while rest:
            while not left:
                offset, left = next(regions)
            part = rest[:left]
            written = os.pwrite(fd, part, offset)
            offset += written
            left -= written
            rest = rest[written:]
    os.ftruncate(fd, entry.size)


def _foreign_owner(place: str) -> ArchiveError:
    return ArchiveError(
        f"{place}: its owner is none of the ids that this user has ({userns.count():,})",
        hint=FEW_IDS,
    )


def set_xattrs(fd: int, xattrs: dict[bytes, bytes]) -> None:
    """Set those extended attributes that a layer may bring: user.*, file capabilities, ACLs.

    `trusted.*` and `user.overlay.*` would talk to overlayfs, security labels belong to the machine. A file
    system without the feature loses them, as with Docker.
    """
    for name, value in xattrs.items():
        if not name.startswith(_KEPT_XATTRS) or name.startswith(_DROPPED_XATTRS):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as exc:
            if exc.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def apply_metadata(fd: int, metadata: DirectoryMetadata, *, privileged: bool) -> None:
    """Give a directory its owner, mode (after the owner, which clears setuid bits), attributes and time."""
    if privileged:
        os.fchown(fd, metadata.uid, metadata.gid)
    os.fchmod(fd, metadata.mode)
    if metadata.xattrs:
        set_xattrs(fd, metadata.xattrs)
    os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))
