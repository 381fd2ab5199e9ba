"""Trees between two places that don't trust each other: read by descriptors, written by descriptors.

A Walker reads a tree and never follows a link in it, though its owner may be changing it; an Extractor puts entries,
of a Walker or of a tar, below a directory and nowhere else. What the kernel invents (/proc, /sys) is never read or
written, devices and sockets are left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers import tarstream
from pycompose.engine.images.layers.layertar import read_xattrs
from pycompose.engine.images.layers.tarstream import Entry, TarReader
from pycompose.engine.images.layers.tree import components
from pycompose.engine.images.layers.unpack import MAX_ID, set_xattrs
from pycompose.engine.linux import fs

if TYPE_CHECKING:
    from pycompose.engine.images.layers.tarwriter import TarWriter

MAX_DEPTH = 200
BENEATH = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS | fs.RESOLVE_NO_MAGICLINKS
IN_ROOT = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_MAGICLINKS

_PSEUDO = frozenset({
    fs.PROC_SUPER_MAGIC, fs.DEVPTS_SUPER_MAGIC, fs.CGROUP_SUPER_MAGIC, fs.CGROUP2_SUPER_MAGIC,
    0x62656572,  # sysfs
    0x64626720,  # debugfs
    0x73636673,  # securityfs
    0x74726163,  # tracefs
    0x19800202,  # mqueue
    0xCAFE4A11,  # bpf
})  # fmt: skip
_PIECE = 1024 * 1024
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERWRITE = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: tarstream.REGULAR,
    stat.S_IFDIR: tarstream.DIRECTORY,
    stat.S_IFLNK: tarstream.SYMLINK,
    stat.S_IFIFO: tarstream.FIFO,
}


@dataclass(slots=True)
class TreeEntry:
    """One thing in a tree. `file` is open for reading (a regular file) until the next one is asked for.

    `link` is the text of a symbolic link, `hardlink` an earlier name of the same file.
    """

    name: bytes
    status: os.stat_result
    file: int | None = None
    link: bytes = b""
    hardlink: bytes = b""


def is_pseudo(fd: int) -> bool:
    """Tell whether `fd` is on a file system that the kernel makes up; raises OSError."""
    return fs.filesystem(fd) in _PSEUDO


class Walker:
    """Reads one tree; `left_out` are the names of what can't be copied: devices, sockets, mounts of the kernel."""

    def __init__(self, skip: Iterable[bytes] = ()) -> None:
        """`skip` are names of directories whose content somebody else brings."""
        self.left_out: list[bytes] = []
        self._skip = frozenset(skip)
        self._seen: dict[tuple[int, int], bytes] = {}

    def walk(self, top: int, name: bytes) -> Generator[TreeEntry, None, None]:
        """Yield what the O_PATH descriptor `top` is, as `name`, and everything below, parents first.

        Raises OSError, with the name in the tree, and ArchiveError for a tree that is too deep.
        """
        status = os.fstat(top)
        if not stat.S_ISDIR(status.st_mode):
            if stat.S_ISREG(status.st_mode):
                file = _reopened(top, _READ)
                try:
                    yield TreeEntry(name, status, file=file)
                finally:
                    os.close(file)
            elif stat.S_ISLNK(status.st_mode):
                yield TreeEntry(name, status, link=os.readlink(b"", dir_fd=top))
            elif stat.S_ISFIFO(status.st_mode):
                yield TreeEntry(name, status)
            else:
                self.left_out.append(name)
            return
        fd = yield from self._directory(top, name)
        if fd is not None:
            yield from self._below(fd, name + b"/")

    def _below(self, top: int, prefix: bytes) -> Iterator[TreeEntry]:
        """Yield what is in the directory `top`, which is closed at the end; one open descriptor per level."""
        stack = [(top, prefix, iter(sorted(os.listdir(top))))]
        try:
            while stack:
                directory, prefix, names = stack[-1]
                text = next(names, None)
                if text is None:
                    os.close(directory)
                    stack.pop()
                    continue
                base = os.fsencode(text)
                name = prefix + base
                try:
                    below = yield from self._one(directory, base, name)
                except FileNotFoundError:
                    continue  # it was there a moment ago
                if below is not None:
                    if len(stack) >= MAX_DEPTH:
                        os.close(below)
                        raise ArchiveError(f"more than {MAX_DEPTH} directories inside each other")
                    stack.append((below, name + b"/", iter(sorted(os.listdir(below)))))
        finally:
            for directory, _, _ in stack:
                os.close(directory)

    def _one(self, directory: int, base: bytes, name: bytes) -> Generator[TreeEntry, None, int | None]:
        """Yield one thing; return the descriptor of a directory to go on in."""
        itself = os.open(base, _ITSELF, dir_fd=directory)
        try:
            status = os.fstat(itself)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFDIR:
                return (yield from self._directory(itself, name))
            if kind not in _TYPES or is_pseudo(itself):
                self.left_out.append(name)
                return None
            if status.st_nlink > 1:
                first = self._seen.setdefault((status.st_dev, status.st_ino), name)
                if first != name:
                    yield TreeEntry(name, status, hardlink=first)
                    return None
            if kind == stat.S_IFLNK:
                yield TreeEntry(name, status, link=os.readlink(b"", dir_fd=itself))
            elif kind == stat.S_IFIFO:
                yield TreeEntry(name, status)
            else:
                file = _reopened(itself, _READ)
                try:
                    yield TreeEntry(name, os.fstat(file), file=file)
                finally:
                    os.close(file)
            return None
        finally:
            os.close(itself)

    def _directory(self, itself: int, name: bytes) -> Generator[TreeEntry, None, int | None]:
        """Yield a directory; return its descriptor unless its content is to be left out."""
        if is_pseudo(itself):
            self.left_out.append(name)
            return None
        fd = os.open(".", _DIRECTORY, dir_fd=itself)
        try:
            yield TreeEntry(name, os.fstat(fd), file=fd)
        except BaseException:
            os.close(fd)
            raise
        if name in self._skip:
            os.close(fd)
            return None
        return fd


def _reopened(itself: int, flags: int) -> int:
    """Open the regular file that the O_PATH descriptor `itself` is.

    Never by its name, which may be a device by now: opening one of those does things.
    """
    return os.open(f"/proc/self/fd/{itself}", flags)


def write_tar(found: Generator[TreeEntry, None, None], tar: TarWriter) -> None:
    """Write what a Walker finds as members of a tar. Raises OSError.

    `found` is closed whatever happens: it has descriptors open, and lives on in the traceback of an error.
    """
    with contextlib.closing(found):
        for item in found:
            write_member(item, tar)


def write_member(item: TreeEntry, tar: TarWriter) -> None:
    """Write one member of a tar. Raises OSError."""
    if item.hardlink:
        tar.add_hardlink(item.name, item.hardlink, item.status)
        return
    xattrs = read_xattrs(item.file) if item.file is not None else None
    file = item.file if stat.S_ISREG(item.status.st_mode) else None
    tar.add(item.name, item.status, file=file, link=item.link, xattrs=xattrs)


class Extractor:
    """Puts entries below `prefix` in the directory behind `root`.

    `resolve` are the openat2 flags by which parents are found: BENEATH where the entries come from strangers,
    IN_ROOT where the directory is the root of one. `owners` keeps user and group ids. `special` keeps setuid and
    setgid bits, file capabilities, and gives directories that exist the entry's mode too: for entries of one's own.
    """

    def __init__(
        self,
        root: int,
        prefix: str = "",
        *,
        resolve: int = BENEATH,
        owners: bool = False,
        special: bool = False,
    ) -> None:
        self._root = root
        self._prefix = os.fsencode(prefix.strip("/"))
        self._resolve = resolve
        self._owners = owners
        self._special = special
        self._directories: dict[bytes, tuple[Entry, bool]] = {}
        self._cached: tuple[bytes, int] | None = None
        self.left_out: list[bytes] = []

    def tree(self, found: Generator[TreeEntry, None, None]) -> None:
        """Put what a Walker finds, which is closed then. Raises ArchiveError and OSError that name the entry."""
        with contextlib.closing(found):
            self._all((_entry(item), _pieces(item)) for item in found)

    def tar(self, reader: TarReader) -> None:
        """Put the members of a tar. Raises ArchiveError and OSError that name the entry."""
        self._all((entry, reader.data()) for entry in reader)

    def _all(self, entries: Iterable[tuple[Entry, Iterator[memoryview | bytes]]]) -> None:
        name = b""
        try:
            for entry, data in entries:
                name = entry.name
                self._put(entry, data)
            name = b""
        except ArchiveError as exc:
            raise ArchiveError(f"{os.fsdecode(name)}: {exc.message}" if name else exc.message) from exc
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, os.fsdecode(name) or exc.filename) from exc
        finally:
            self._finish()

    def _put(self, entry: Entry, data: Iterator[memoryview | bytes]) -> None:
        if entry.uid > MAX_ID or entry.gid > MAX_ID:
            raise ArchiveError(f"owner {entry.uid}:{entry.gid} is out of range")
        parts = components(entry.name)
        if not parts:
            return  # the directory itself, which exists and stays as it is
        put = self._makers.get(entry.type)
        if put is None:
            self.left_out.append(entry.name)
            return
        put(self, entry, self._parent(b"/".join(parts[:-1])), parts[-1], data)

    def _regular(self, entry: Entry, parent: int, base: bytes, data: Iterator[memoryview | bytes]) -> None:
        if self._clear(entry, parent, base):
            fd = os.open(base, _CREATE, 0o600, dir_fd=parent)
        else:
            fd = _existing_file(parent, base)
        try:
            if entry.sparse is None:
                for chunk in data:
                    written = os.write(fd, chunk)
                    while written < len(chunk):
                        written += os.write(fd, chunk[written:])
            else:
                _write_sparse(fd, entry, data)
            if self._owners:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, self._mode(entry))
            if self._special and entry.xattrs:
                set_xattrs(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _directory(self, entry: Entry, parent: int, base: bytes, _data: Iterator[memoryview | bytes]) -> None:
        made = self._clear(entry, parent, base)
        if made:
            os.mkdir(base, 0o700, dir_fd=parent)
        if made or self._special:
            self._directories[b"/".join(components(entry.name))] = (entry, made)

    def _symlink(self, entry: Entry, parent: int, base: bytes, _data: Iterator[memoryview | bytes]) -> None:
        if not entry.linkname:
            raise ArchiveError("a symbolic link to nothing")
        self._clear(entry, parent, base)
        os.symlink(entry.linkname, base, dir_fd=parent)
        self._own(entry, parent, base)

    def _hardlink(self, entry: Entry, parent: int, base: bytes, _data: Iterator[memoryview | bytes]) -> None:
        *directory, target = components(entry.linkname) or [b""]
        if not target:
            raise ArchiveError("a hard link to the root")
        holder = os.dup(parent)  # finding the other parent may close it
        try:
            source = self._parent(b"/".join(directory))
            if not stat.S_ISREG(os.stat(target, dir_fd=source, follow_symlinks=False).st_mode):
                raise ArchiveError(f"a hard link to {os.fsdecode(entry.linkname)!r}, which is no file")
            self._clear(entry, holder, base)
            os.link(target, base, src_dir_fd=source, dst_dir_fd=holder, follow_symlinks=False)
        finally:
            os.close(holder)

    def _fifo(self, entry: Entry, parent: int, base: bytes, _data: Iterator[memoryview | bytes]) -> None:
        self._clear(entry, parent, base)
        os.mkfifo(base, 0o600, dir_fd=parent)
        self._own(entry, parent, base)
        # chmod(2) follows a link that somebody may have put there since.
        fd = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", self._mode(entry))
        finally:
            os.close(fd)

    def _own(self, entry: Entry, parent: int, base: bytes) -> None:
        if self._owners:
            os.chown(base, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(base, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _mode(self, entry: Entry) -> int:
        return entry.mode if self._special else entry.mode & 0o1777

    def _clear(self, entry: Entry, parent: int, base: bytes) -> bool:
        """Make room for an entry; False when it has to go into what is there: a directory, a mounted file.

        Raises ArchiveError where a directory and something else meet.
        """
        try:
            mode = os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return True
        wants_directory = entry.type == tarstream.DIRECTORY
        if stat.S_ISDIR(mode):
            if not wants_directory:
                raise ArchiveError("cannot overwrite a directory with something else")
            return False
        if wants_directory:
            raise ArchiveError("cannot overwrite something else with a directory")
        try:
            os.unlink(base, dir_fd=parent)
        except OSError as exc:
            if exc.errno != errno.EBUSY or entry.type != tarstream.REGULAR or not stat.S_ISREG(mode):
                raise
            return False
        return True

    def _parent(self, path: bytes) -> int:
        """Return the directory `path`, made where it is missing; valid until the next call."""
        if self._cached is not None:
            if self._cached[0] == path:
                return self._cached[1]
            os.close(self._cached[1])
            self._cached = None
        fd = self._open(path)
        if is_pseudo(fd):
            os.close(fd)
            raise ArchiveError("what the kernel makes up cannot be written to")
        self._cached = (path, fd)
        return fd

    def _open(self, path: bytes) -> int:
        full = b"/".join(part for part in (self._prefix, path) if part) or b"."
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            return fs.openat2(self._root, full, flags, resolve=self._resolve)
        except FileNotFoundError:
            if not path:
                raise
        above, _, base = path.rpartition(b"/")
        parent = self._open(above)
        try:
            os.mkdir(base, 0o755, dir_fd=parent)
        finally:
            os.close(parent)
        return fs.openat2(self._root, full, flags, resolve=self._resolve)

    def _finish(self) -> None:
        """Give directories what they get at the end, deepest first."""
        if self._cached is not None:
            os.close(self._cached[1])
            self._cached = None
        for path, (entry, made) in sorted(self._directories.items(), key=lambda item: -item[0].count(b"/")):
            try:
                fd = self._open(path)
            except OSError:
                continue  # whoever lives there has removed it again
            try:
                if self._owners and (made or self._special):
                    os.fchown(fd, entry.uid, entry.gid)
                os.fchmod(fd, self._mode(entry))
                os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(fd)
        self._directories.clear()

    _makers: ClassVar[
        dict[bytes, Callable[[Extractor, Entry, int, bytes, Iterator[memoryview | bytes]], None]]
    ] = {
        tarstream.REGULAR: _regular,
        tarstream.DIRECTORY: _directory,
        tarstream.SYMLINK: _symlink,
        tarstream.HARDLINK: _hardlink,
        tarstream.FIFO: _fifo,
    }


def _existing_file(parent: int, base: bytes) -> int:
    """Open a file that something is mounted on, emptied; raises ArchiveError when it is no file any more."""
    itself = os.open(base, _ITSELF, dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(itself).st_mode) or is_pseudo(itself):
            raise ArchiveError("cannot be overwritten")
        return _reopened(itself, _OVERWRITE)
    finally:
        os.close(itself)


def _entry(item: TreeEntry) -> Entry:
    status = item.status
    kind = tarstream.HARDLINK if item.hardlink else _TYPES[stat.S_IFMT(status.st_mode)]
    size = status.st_size if kind == tarstream.REGULAR else 0
    return Entry(
        name=item.name,
        type=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=size,
        stored=size,
        mtime_ns=status.st_mtime_ns,
        linkname=item.hardlink or item.link,
        xattrs=read_xattrs(item.file) if item.file is not None else {},
    )


def _pieces(item: TreeEntry) -> Iterator[bytes]:
    """Yield what a file holds, no more than it had when it was found: somebody may be writing faster than we read."""
    if item.file is None or not stat.S_ISREG(item.status.st_mode):
        return
    left = item.status.st_size
    while left and (piece := os.read(item.file, min(_PIECE, left))):
        left -= len(piece)
        yield piece


def _write_sparse(fd: int, entry: Entry, data: Iterator[memoryview | bytes]) -> None:
    """Write the stored regions of a sparse member where they belong."""
    regions = iter(entry.sparse or [])
    offset = left = 0
    for chunk in data:
        rest = memoryview(chunk)
        while rest:
            while not left:
                offset, left = next(regions)
            written = os.pwrite(fd, rest[:left], offset)
            offset += written
            left -= written
            rest = rest[written:]
    os.ftruncate(fd, entry.size)
