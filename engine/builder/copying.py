"""COPY and ADD into a stage's file system: where things go, and what they become there.

The target is a stage's merged view behind a descriptor. It belongs to strangers: every path is resolved inside it
(openat2 RESOLVE_IN_ROOT), links in it lead nowhere else. Rules: the Dockerfile reference, "COPY"; modes, owners and
times as BuildKit leaves them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pycompose.engine.builder.ignore import Ignore
from pycompose.engine.builder.newtree import NewTree
from pycompose.engine.builder.tree import Found, SourceTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.images.layers.layertar import read_xattrs
from pycompose.engine.images.layers.unpack import set_xattrs
from pycompose.engine.linux import fs, process

if TYPE_CHECKING:
    from pycompose.engine.builder.held import Held, HeldFile

_IN_ROOT = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_PIECE = 1 << 30
_SMALL = 64 << 10
_MAX_LINKS = 40
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How entries arrive. `owner` None keeps (a stage) or takes root's (a context); `mode` changes a mode."""

    owner: tuple[int, int] | None = None
    mode: Callable[[int, bool], int] | None = None
    exclude: Ignore | None = None
    parents: bool = False
    # Seconds since the epoch that no time may be later than; None leaves times alone.
    latest_s: int | None = None


class CopyTarget:
    """The file system that files are copied into; one per instruction, since hard links are kept within one."""

    def __init__(self, root: int, options: CopyOptions, upper: int = -1, held: Held | None = None) -> None:
        """`upper` is the upper directory of the overlay at `root`, when there is one and nobody else looks at it.

        What is `held` isn't read again; `contents` has what was written of it, by its path in `upper`.
        """
        self.root = root
        self._held = held
        self.contents: dict[bytes, bytes] = {}
        self._options = options
        self._new = NewTree(upper)
        # Whom a new file belongs to, and what its mode lacks unless that is set.
        self._born = (os.geteuid(), os.getegid())
        self._masked = _SPECIAL | process.umask()
        # The directory that was made last.
        self._made = ""
        self._links: dict[tuple[int, int], str] = {}
        # The directory that was written to last.
        self._kept_fd = -1
        self._kept_path = ""
        self._kept_new = False
        # Directories get their times when everything is in them.
        self._times: list[tuple[str, int]] = []
        self.files = 0
        self.size_bytes = 0

    def copy(self, tree: SourceTree, sources: Sequence[str], target: str) -> None:
        """Put `sources` (paths of `tree`) at `target`, which is absolute. Raises BuildError, OSError.

        Files that are one by hard links stay one among these sources, not across calls: so it is for BuildKit.
        """
        self._links.clear()
        try:
            for source in sources:
                found = tree.look(source)
                if self._options.parents:
                    self._with_parents(tree, found, target)
                elif found.is_directory:
                    self._directory(tree, found, target)
                else:
                    self._file_source(tree, found, target)
        finally:
            self._close_kept()
        self._finish()

    def write(self, name: str, data: bytes, target: str) -> None:
        """Put a file with `data` (a here-document) at `target`, or into it when that is a directory."""
        where = self._file_target(name, target)
        parent, base = self._parent(where)
        try:
            self._clear(parent, base, where)
            fd = os.open(base, _CREATE, 0o644, dir_fd=parent)
            try:
                _write_all(fd, data)
                os.fchown(fd, *(self._options.owner or (0, 0)))
                os.fchmod(fd, self._mode(0o644, directory=False))
                stamp = self._options.latest_s
                if stamp is not None:
                    os.utime(fd, ns=(stamp * 10**9, stamp * 10**9))
            finally:
                os.close(fd)
        finally:
            os.close(parent)
        self.files += 1
        self.size_bytes += len(data)
        self._finish()

    # Where

    def _file_target(self, name: str, target: str) -> str:
        if target.endswith("/") or self._is_directory(target):
            self.make_directory(target)
            return f"{target.rstrip('/')}/{name}"
        return self._behind_links(target)

    def _behind_links(self, path: str) -> str:
        """Return the path that links at `path` lead to: what is copied to a link goes where it points."""
        for _ in range(_MAX_LINKS):
            above, _slash, base = path.rpartition("/")
            try:
                parent = fs.openat2(self.root, os.fsencode(above or "/"), _DIRECTORY, resolve=_IN_ROOT)
            except OSError:
                return path
            try:
                link = os.readlink(base, dir_fd=parent)
            except OSError:
                return path
            finally:
                os.close(parent)
            path = os.path.normpath(link if link.startswith("/") else f"{above}/{link}")
        raise BuildError(f"cannot copy to {path}: too many symbolic links")

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(fs.openat2(self.root, os.fsencode(path), _DIRECTORY, resolve=_IN_ROOT))
        except OSError:
            return False
        return True

    def make_directory(self, path: str) -> None:
        """Make `path` and its parents where they are missing, 0755 of the copy's owner. Raises BuildError, OSError."""
        os.close(self._open_directory(path))

    def _open_directory(self, path: str, mode: int = 0o755) -> int:
        """Return the directory `path`, made if need be; links to directories are followed inside the root."""
        name = os.fsencode(path) or b"/"
        try:
            return fs.openat2(self.root, name, _DIRECTORY, resolve=_IN_ROOT)
        except FileNotFoundError:
            pass
        except NotADirectoryError as exc:
            raise BuildError(f"cannot copy to {path}: something in it is no directory") from exc
        above, _, base = path.rstrip("/").rpartition("/")
        if base in ("", "."):
            return self._open_directory(above)
        parent = self._open_directory(above)
        try:
            if base == "..":
                raise BuildError(f"cannot copy to {path}: it does not exist")
            try:
                os.mkdir(base, 0o700, dir_fd=parent)
            except FileExistsError:
                # A link to nothing: what it names is made.
                inner = os.readlink(base, dir_fd=parent)
                joined = inner if inner.startswith("/") else f"{above}/{inner}"
                return self._open_directory(os.path.normpath(joined))
            self._made = path
            fd = os.open(base, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.fchown(fd, *(self._options.owner or (0, 0)))
            os.fchmod(fd, mode)
            if self._options.latest_s is not None:
                self._times.append((path, self._options.latest_s * 10**9))
            return fd
        finally:
            os.close(parent)

    def _parent(self, path: str) -> tuple[int, str]:
        above, base = _split(path)
        return self._open_directory(above), base

    # What

    def _file_source(self, tree: SourceTree, found: Found, target: str) -> None:
        where = self._file_target(os.path.basename(found.path), target)
        fd = tree.open_file(found.path)
        try:
            self._place(Found(found.path, os.fstat(fd)), where, tree, file=fd)
        finally:
            os.close(fd)

    def _directory(self, tree: SourceTree, found: Found, target: str) -> None:
        if self._exists_otherwise(target):
            raise BuildError(f"cannot copy to non-directory: {target}")
        self._made = ""
        self.make_directory(target)
        if self._made == target:
            self._new.enter(target)
        # A context's own folder has no time for BuildKit, which sees only what is in it.
        if found.path or tree.has_root:
            self._times.append((target, self._stamp(found.status)))
        try:
            for entry, directory in tree.walk(found.path, self._options.exclude, self._held):
                inner = entry.path[len(found.path) :].lstrip("/")
                self._place(entry, f"{target.rstrip('/')}/{inner}", tree, directory=directory)
        finally:
            self._close_kept()
            self._new.leave()

    def _exists_otherwise(self, path: str, nofollow: int = 0) -> bool:
        """Tell whether something that is no directory is at `path`; with O_NOFOLLOW, no link is a directory."""
        try:
            fd = fs.openat2(
                self.root, os.fsencode(path), os.O_PATH | os.O_CLOEXEC | nofollow, resolve=_IN_ROOT
            )
        except OSError:
            return False
        try:
            return not stat.S_ISDIR(os.fstat(fd).st_mode)
        finally:
            os.close(fd)

    def _with_parents(self, tree: SourceTree, found: Found, target: str) -> None:
        """`--parents`: the directories of the source's path are made, with their modes, below the target."""
        base = target.rstrip("/")
        parts = found.path.split("/")
        for count in range(1, len(parts) + (1 if found.is_directory else 0)):
            above = tree.look("/".join(parts[:count]))
            self._place(above, f"{base}/{above.path}", tree)
        if found.is_directory:
            for entry, directory in tree.walk(found.path, self._options.exclude, self._held):
                self._place(entry, f"{base}/{entry.path}", tree, directory=directory)
            return
        fd = tree.open_file(found.path)
        try:
            self._place(Found(found.path, os.fstat(fd)), f"{base}/{found.path}", tree, file=fd)
        finally:
            os.close(fd)

    def _place(
        self, entry: Found, where: str, tree: SourceTree, *, file: int = -1, directory: int = -1
    ) -> None:
        """Make one entry at the absolute path `where`; data comes from `file`, or the entry's name in `directory`."""
        status = entry.status
        owner = self._options.owner or ((status.st_uid, status.st_gid) if tree.keeps_owners else (0, 0))
        if entry.is_directory:
            self._place_directory(entry, where, owner)
            return
        above, base = _split(where)
        parent = self._kept(above)
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and not stat.S_ISLNK(status.st_mode) and self._link(key, parent, base, where):
            return
        held = self._held.get(entry.path) if self._held is not None and directory >= 0 else None
        if held is not None:
            self._write_held(held, parent, base, owner, where, new=self._kept_new and self._new.plain)
        elif stat.S_ISREG(status.st_mode):
            own = file if file >= 0 else os.open(os.path.basename(entry.path), _READ, dir_fd=directory)
            try:
                self._write(own, parent, base, owner, where, tree.keeps_owners)
            finally:
                if file < 0:
                    os.close(own)
        elif stat.S_ISLNK(status.st_mode):
            self._clear(parent, base, where)
            os.symlink(entry.link, base, dir_fd=parent)
            os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
            stamp = self._stamp(status)
            os.utime(base, ns=(stamp, stamp), dir_fd=parent, follow_symlinks=False)
        else:
            self._node(status, where, owner)
        self.files += 1
        if status.st_nlink > 1:
            self._links[key] = where

    def _node(self, status: os.stat_result, where: str, owner: tuple[int, int]) -> None:
        """Make a device or a FIFO; through the overlay, which refuses a device that would be a whiteout in it."""
        parent, base = self._parent(where)
        try:
            self._clear(parent, base, where)
            os.mknod(base, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=parent)
            os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
            os.chmod(base, self._mode(stat.S_IMODE(status.st_mode), directory=False), dir_fd=parent)
            stamp = self._stamp(status)
            os.utime(base, ns=(stamp, stamp), dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)

    def _kept(self, path: str) -> int:
        """Return the directory `path`, open until another is asked for: files come one directory after the other."""
        if path != self._kept_path or self._kept_fd < 0:
            self._close_kept()
            self._kept_new = self._new.holds(path)
            self._kept_fd = self._new.open(path) if self._kept_new else self._open_directory(path)
            self._kept_path = path
        return self._kept_fd

    def _close_kept(self) -> None:
        if self._kept_fd >= 0:
            os.close(self._kept_fd)
            self._kept_fd = -1

    def _place_directory(self, entry: Found, where: str, owner: tuple[int, int]) -> None:
        if self._new.holds(where):
            fd = self._new.make(where, 0o700)
        elif self._exists_otherwise(where, os.O_NOFOLLOW):
            raise BuildError(f"cannot copy to non-directory: {where}")
        else:
            self._made = ""
            fd = self._open_directory(where, 0o700)
            if self._made == where:
                self._close_kept()
                self._new.enter(where)
        try:
            os.fchown(fd, *owner)
            os.fchmod(fd, self._mode(stat.S_IMODE(entry.status.st_mode), directory=True))
        finally:
            os.close(fd)
        self._times.append((where, self._stamp(entry.status)))

    def _link(self, key: tuple[int, int], parent: int, base: str, where: str) -> bool:
        first = self._links.get(key)
        if first is None:
            return False
        self._clear(parent, base, where)
        # Both in the same way: through the overlay, unless both names are new.
        together = self._new.holds(where) and self._new.holds(first)
        open_directory = self._new.open if together else self._open_directory
        before, name = _split(first)
        source, target = open_directory(before), open_directory(_split(where)[0])
        try:
            os.link(name, base, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(source)
            os.close(target)
        return True

    def _write(
        self,
        source: int,
        parent: int,
        base: str,
        owner: tuple[int, int],
        where: str,
        keeps_xattrs: bool,  # noqa: FBT001
    ) -> None:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise BuildError(f"{base}: changed while it was copied")
        fd = self._create(parent, base, where, 0o600)
        try:
            copied = copy_content(source, fd, before.st_size)
            after = os.fstat(source)
            if copied != after.st_size or after.st_mtime_ns != before.st_mtime_ns:
                raise BuildError(
                    f"{base}: changed while it was copied", hint="build again when nothing writes to it"
                )
            os.fchown(fd, *owner)
            os.fchmod(fd, self._mode(stat.S_IMODE(before.st_mode), directory=False))
            if keeps_xattrs and (xattrs := read_xattrs(source)):
                set_xattrs(fd, xattrs)
            stamp = self._stamp(before)
            os.utime(fd, ns=(stamp, stamp))
        finally:
            os.close(fd)
        self.size_bytes += copied

    def _write_held(
        self, held: HeldFile, parent: int, base: str, owner: tuple[int, int], where: str, *, new: bool
    ) -> None:
        """Write what was read before; in a `new` directory with as few calls as it takes: so is most of a context."""
        mode = self._mode(stat.S_IMODE(held.status.st_mode), directory=False)
        as_born = new and owner == self._born
        fd = self._create(parent, base, where, mode & 0o777 if as_born else 0o600)
        try:
            _write_all(fd, held.data)
            if not as_born:
                os.fchown(fd, *owner)
            if not as_born or mode & self._masked:
                os.fchmod(fd, mode)
            stamp = self._stamp(held.status)
            os.utime(fd, ns=(stamp, stamp))
        finally:
            os.close(fd)
        if new:
            self.contents[os.fsencode(where.strip("/"))] = held.data
        self.size_bytes += len(held.data)

    def _create(self, parent: int, base: str, where: str, mode: int) -> int:
        """Return a new file, in place of what isn't a directory."""
        try:
            return os.open(base, _CREATE, mode, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, base, where)
            return os.open(base, _CREATE, mode, dir_fd=parent)

    def _clear(self, parent: int, base: str, where: str) -> None:
        try:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise BuildError(f"cannot replace to directory {where} with file")
        self.contents.clear()  # it may be one of them, under another name
        os.unlink(base, dir_fd=parent)

    def _mode(self, mode: int, *, directory: bool) -> int:
        return self._options.mode(mode, directory) if self._options.mode is not None else mode

    def _stamp(self, status: os.stat_result) -> int:
        latest = self._options.latest_s
        return status.st_mtime_ns if latest is None else min(status.st_mtime_ns, latest * 10**9)

    def _finish(self) -> None:
        for path, stamp in reversed(self._times):
            try:
                fd = fs.openat2(self.root, os.fsencode(path), _DIRECTORY, resolve=_IN_ROOT)
            except OSError:
                continue
            try:
                os.utime(fd, ns=(stamp, stamp))
            finally:
                os.close(fd)
        self._times.clear()


def _split(path: str) -> tuple[str, str]:
    """Return the directory of a file's path, and its name in it. Raises BuildError when it can only be a directory."""
    above, _, base = path.rstrip("/").rpartition("/")
    if base in ("", ".", ".."):
        raise BuildError(f"cannot copy to {path}: it is a directory")
    return above or "/", base


def copy_content(source: int, target: int, size: int) -> int:
    """Copy all of `source` to the empty file `target`: as a reflink, in the kernel, else by hand; return the bytes.

    A small one costs a read and a write, less than asking for anything better.
    """
    if 0 < size <= _SMALL:
        data = os.read(source, _SMALL + 1)
        if len(data) <= _SMALL:
            _write_all(target, data)
            return len(data)
        os.lseek(source, 0, os.SEEK_SET)  # it grows just now
    if size:
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            pass
        else:
            return os.fstat(target).st_size
    total = 0
    try:
        while sent := os.copy_file_range(source, target, _PIECE):
            total += sent
    except OSError as exc:
        if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM) or total:
            raise
        while sent := os.sendfile(target, source, None, _PIECE):
            total += sent
    return total


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
