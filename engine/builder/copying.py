"""COPY and ADD into a stage's file system: where things go, and what they become there.

The target is a stage's merged view behind a descriptor. It belongs to strangers: every path is resolved inside it
(openat2 RESOLVE_IN_ROOT), links in it lead nowhere else. Rules: the Dockerfile reference, "COPY"; modes, owners and
times as BuildKit leaves them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Sequence

from pycompose.engine.builder.ignore import Ignore
from pycompose.engine.builder.tree import Found, SourceTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.images.layers.layertar import read_xattrs
from pycompose.engine.images.layers.unpack import set_xattrs
from pycompose.engine.linux import fs

_IN_ROOT = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_PIECE = 1 << 30
_MAX_LINKS = 40
_SYMBOLIC = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_CHANGE = re.compile(r"([-+=])([rwxXst]*)")


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

    def __init__(self, root: int, options: CopyOptions) -> None:
        self.root = root
        self._options = options
        self._links: dict[tuple[int, int], str] = {}
        # Directories get their times when everything is in them.
        self._times: list[tuple[str, int]] = []
        self.files = 0
        self.size_bytes = 0

    def copy(self, tree: SourceTree, sources: Sequence[str], target: str) -> None:
        """Put `sources` (paths of `tree`) at `target`, which is absolute. Raises BuildError, OSError."""
        for source in sources:
            found = tree.look(source)
            if self._options.parents:
                self._with_parents(tree, found, target)
            elif found.is_directory:
                self._directory(tree, found, target)
            else:
                self._file_source(tree, found, target)
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
            fd = os.open(base, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.fchown(fd, *(self._options.owner or (0, 0)))
            os.fchmod(fd, mode)
            if self._options.latest_s is not None:
                self._times.append((path, self._options.latest_s * 10**9))
            return fd
        finally:
            os.close(parent)

    def _parent(self, path: str) -> tuple[int, str]:
        above, _, base = path.rstrip("/").rpartition("/")
        if base in ("", ".", ".."):
            raise BuildError(f"cannot copy to {path}: it is a directory")
        return self._open_directory(above or "/"), base

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
        created = not self._is_directory(target)
        self.make_directory(target)
        if created and self._options.owner is None and tree.keeps_owners:
            pass  # the directory copied into is root's, whoever owned the one copied from
        self._times.append((target, self._stamp(found.status)))
        for entry, directory in tree.walk(found.path, self._options.exclude):
            inner = entry.path[len(found.path) :].lstrip("/")
            self._place(entry, f"{target.rstrip('/')}/{inner}", tree, directory=directory)

    def _exists_otherwise(self, path: str) -> bool:
        try:
            fd = fs.openat2(self.root, os.fsencode(path), os.O_PATH | os.O_CLOEXEC, resolve=_IN_ROOT)
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
            for entry, directory in tree.walk(found.path, self._options.exclude):
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
        parent, base = self._parent(where)
        try:
            self._clear(parent, base, where)
            key = (status.st_dev, status.st_ino)
            if status.st_nlink > 1 and not stat.S_ISLNK(status.st_mode) and self._link(key, parent, base):
                return
            if stat.S_ISREG(status.st_mode):
                own = file if file >= 0 else os.open(os.path.basename(entry.path), _READ, dir_fd=directory)
                try:
                    self._write(own, parent, base, owner)
                finally:
                    if file < 0:
                        os.close(own)
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(entry.link, base, dir_fd=parent)
                os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
                stamp = self._stamp(status)
                os.utime(base, ns=(stamp, stamp), dir_fd=parent, follow_symlinks=False)
            else:
                os.mknod(base, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=parent)
                os.chown(base, *owner, dir_fd=parent, follow_symlinks=False)
                os.chmod(base, self._mode(stat.S_IMODE(status.st_mode), directory=False), dir_fd=parent)
                stamp = self._stamp(status)
                os.utime(base, ns=(stamp, stamp), dir_fd=parent, follow_symlinks=False)
            self.files += 1
            if status.st_nlink > 1:
                self._links[key] = where
        finally:
            os.close(parent)

    def _place_directory(self, entry: Found, where: str, owner: tuple[int, int]) -> None:
        if self._exists_otherwise(where):
            raise BuildError(f"cannot copy to non-directory: {where}")
        fd = self._open_directory(where, 0o700)
        try:
            os.fchown(fd, *owner)
            os.fchmod(fd, self._mode(stat.S_IMODE(entry.status.st_mode), directory=True))
        finally:
            os.close(fd)
        self._times.append((where, self._stamp(entry.status)))

    def _link(self, key: tuple[int, int], parent: int, base: str) -> bool:
        first = self._links.get(key)
        if first is None:
            return False
        above, name = self._parent(first)
        try:
            os.link(name, base, src_dir_fd=above, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(above)
        return True

    def _write(self, source: int, parent: int, base: str, owner: tuple[int, int]) -> None:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise BuildError(f"{base}: changed while it was copied")
        fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
        try:
            copied = copy_content(source, fd, before.st_size)
            after = os.fstat(source)
            if copied != after.st_size or after.st_mtime_ns != before.st_mtime_ns:
                raise BuildError(
                    f"{base}: changed while it was copied", hint="build again when nothing writes to it"
                )
            os.fchown(fd, *owner)
            os.fchmod(fd, self._mode(stat.S_IMODE(before.st_mode), directory=False))
            if xattrs := read_xattrs(source):
                set_xattrs(fd, xattrs)
            stamp = self._stamp(before)
            os.utime(fd, ns=(stamp, stamp))
        finally:
            os.close(fd)
        self.size_bytes += copied

    def _clear(self, parent: int, base: str, where: str) -> None:
        try:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise BuildError(f"cannot replace to directory {where} with file")
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


def copy_content(source: int, target: int, size: int) -> int:
    """Copy all of `source` to the empty file `target`: as a reflink, in the kernel, else by hand; return the bytes."""
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


def parse_mode(text: str) -> Callable[[int, bool], int]:
    """Return what `--chmod=TEXT` does to (mode, is a directory): octal, or symbolic as chmod(1). Raises BuildError."""
    if re.fullmatch(r"[0-7]{1,4}", text):
        value = int(text, 8)
        return lambda _mode, _directory: value
    clauses = []
    for clause in text.split(","):
        match = _SYMBOLIC.fullmatch(clause)
        if match is None:
            raise BuildError(
                f"invalid chmod parameter: {text!r}: it is an octal number or symbolic as in chmod(1)",
                hint="for example --chmod=755 or --chmod=u=rwX,go=rX",
            )
        clauses.append((match[1] or "a", _CHANGE.findall(match[2])))
    return lambda mode, directory: _changed(mode, directory, clauses)


def _changed(mode: int, directory: bool, clauses: Sequence[tuple[str, list[tuple[str, str]]]]) -> int:  # noqa: FBT001
    for who, changes in clauses:
        for operator, letters in changes:
            bits = 0
            executable = directory or bool(mode & 0o111)
            for letter in letters:
                if letter in "rwx" or (letter == "X" and executable):
                    one = {"r": 4, "w": 2, "x": 1, "X": 1}[letter]
                    for name, shift in (("u", 6), ("g", 3), ("o", 0)):
                        if name in who or "a" in who:
                            bits |= one << shift
                elif letter == "s":
                    bits |= (0o4000 if "u" in who or "a" in who else 0) | (
                        0o2000 if "g" in who or "a" in who else 0
                    )
                elif letter == "t":
                    bits |= 0o1000
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                mask = sum(
                    7 << shift for name, shift in (("u", 6), ("g", 3), ("o", 0)) if name in who or "a" in who
                )
                mode = (mode & ~mask) | bits
    return mode
