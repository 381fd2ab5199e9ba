"""A directory tree remembered, and put back by what has changed since.

`take` copies a tree (as reflinks where the file system can) and notes for each file the inode and change time that it
had. Whatever is done to a file changes its ctime, which nobody can set (inode(7)): `put_back` looks at every entry, and
writes only those that differ. So what it costs hangs on how many files there are, not on how large they are.

All attributes come along, those of overlayfs too: the tree may be an upper directory with whiteouts. Nobody may write
to it meanwhile, and whoever does so later has to start after it: clocks of file systems tick every few milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.errors import VolumeError
from pycompose.engine.linux.libc import AT_FDCWD, call
from pycompose.engine.linux.trees import empty_directory, remove_tree
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FICLONE = 0x40049409  # linux/fs.h
RENAME_EXCHANGE = 2  # linux/fs.h
_CHUNK_BYTES = 1 << 30

# Path below the tree → what its entry is known by: inode number, ctime in nanoseconds.
_Known = dict[str, tuple[int, int]]


def take(source: Path, store: Path) -> None:
    """Remember the tree at `source` in `store`, which must not exist. Raises VolumeError, and leaves nothing then."""
    try:
        make_directory(store)
        os.mkdir(store / "tree", 0o700)
        with _opened(source) as live, _opened(store / "tree") as kept:
            copy = _Copy(live, kept)
            copy.directory(live, kept, "")
            write_json(store / "manifest.json", {"known": _known(live, "", {})}, durable=False)
    except (OSError, RecursionError) as exc:
        with contextlib.suppress(OSError):
            remove_tree(store)
        raise VolumeError(f"snapshot of {source}: {_reason(exc, store)}") from exc


def put_back(source: Path, store: Path) -> int:
    """Make the tree at `source` what it was when `store` was taken; return how many entries had changed.

    Raises VolumeError; repeated, it goes on where it was.
    """
    try:
        noted = read_json(store / "manifest.json")["known"]
        with _opened(source) as live, _opened(store / "tree") as kept:
            work = _PutBack(kept, live, {path: (ino, ctime) for path, (ino, ctime) in noted.items()})
            work.directory(kept, live, "")
            if work.changed:
                write_json(store / "manifest.json", {"known": _known(live, "", {})}, durable=False)
            return work.changed
    except (OSError, RecursionError) as exc:
        raise VolumeError(f"put back {source}: {_reason(exc, store)}") from exc


def _reason(exc: OSError | RecursionError, store: Path) -> str:
    if isinstance(exc, OSError):
        return f"{exc.filename or store}: {exc.strerror}"
    return "too many directories inside each other"


def copy(source: Path, target: Path) -> None:
    """Copy the tree at `source`, its own attributes included, into the empty directory `target`; raises VolumeError."""
    try:
        with _opened(source) as live, _opened(target) as made:
            _Copy(live, made).directory(live, made, "")
    except (OSError, RecursionError) as exc:
        raise VolumeError(f"copy of {source}: {_reason(exc, target)}") from exc


def replace(new: Path, old: Path) -> None:
    """Have `new` in the place of `old`, which is where `new` was then, in one step (renameat2(2)); raises OSError."""
    if not old.exists():
        os.rename(new, old)
        return
    call("renameat2", AT_FDCWD, str(new), AT_FDCWD, str(old), RENAME_EXCHANGE, path=str(old))


def sync(directory: Path) -> None:
    """Bring the file system of a directory to the disk (syncfs(2)); raises OSError."""
    with _opened(directory) as fd:
        call("syncfs", fd, path=str(directory))


class _Copy:
    """Copies entries between two trees; hard links stay hard links."""

    def __init__(self, source_root: int, target_root: int) -> None:
        self._source_root = source_root
        self._target_root = target_root
        self._links: dict[tuple[int, int], str] = {}

    def directory(self, source: int, target: int, prefix: str) -> None:
        """Copy what is in a directory, then its attributes."""
        for name in os.listdir(source):
            self.entry(source, target, name, f"{prefix}{name}")
        _copy_attributes(source, target, os.fstat(source))

    def entry(self, source: int, target: int, name: str, path: str) -> None:
        """Copy one entry, which isn't there yet."""
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            with _opened_at(source, name) as inside, _opened_at(target, name) as made:
                self.directory(inside, made, f"{path}/")
            return
        if info.st_nlink > 1:
            first = self._links.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                os.link(first, name, src_dir_fd=self._target_root, dst_dir_fd=target, follow_symlinks=False)
                return
        if stat.S_ISREG(info.st_mode):
            _copy_file(source, target, name, info)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
            os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
            os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)


class _PutBack(_Copy):
    """Makes the target what the source is, where what is known of the target doesn't hold any more."""

    def __init__(self, kept: int, live: int, known: _Known) -> None:
        super().__init__(kept, live)
        self._known = known
        self.changed = 0

    def directory(self, source: int, target: int, prefix: str) -> None:
        """Compare a directory that is in both."""
        wanted = set(os.listdir(source))
        for name in os.listdir(target):
            if name not in wanted:
                self.changed += 1
                _remove(target, name)
        for name in sorted(wanted):
            self._compare(source, target, name, f"{prefix}{name}")
        info, there = os.fstat(source), os.fstat(target)
        if self._known.get(prefix or "/") != (there.st_ino, there.st_ctime_ns):
            _copy_attributes(source, target, info)

    def _compare(self, source: int, target: int, name: str, path: str) -> None:
        try:
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            there = None
        if there is not None:
            wanted = os.stat(name, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(wanted.st_mode) and stat.S_ISDIR(there.st_mode):
                with _opened_at(source, name) as kept, _opened_at(target, name) as live:
                    self.directory(kept, live, f"{path}/")
                return
            if not stat.S_ISDIR(there.st_mode) and self._known.get(path) == (there.st_ino, there.st_ctime_ns):
                return
            _remove(target, name)
        self.changed += 1
        self.entry(source, target, name, path)


def _known(directory: int, prefix: str, found: _Known) -> _Known:
    """Return what each entry of a tree is known by; directories end in a slash."""
    info = os.fstat(directory)
    found[prefix or "/"] = (info.st_ino, info.st_ctime_ns)
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                with _opened_at(directory, entry.name) as inside:
                    _known(inside, f"{prefix}{entry.name}/", found)
            else:
                info = entry.stat(follow_symlinks=False)
                found[f"{prefix}{entry.name}"] = (info.st_ino, info.st_ctime_ns)
    return found


def _copy_file(source: int, target: int, name: str, info: os.stat_result) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(name, flags, 0o600, dir_fd=target)
        try:
            try:
                fcntl.ioctl(writing, FICLONE, reading)
            except OSError as exc:
                if exc.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS):
                    raise
                _copy_data(reading, writing, info.st_size)
            _copy_attributes(reading, writing, info)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_data(reading: int, writing: int, size: int) -> None:
    """Copy what a file holds; its holes stay holes (lseek(2) SEEK_DATA)."""
    os.ftruncate(writing, size)
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(reading, offset, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(reading, offset, os.SEEK_HOLE)
        os.lseek(writing, offset, os.SEEK_SET)
        while offset < end:
            count = os.sendfile(writing, reading, offset, min(end - offset, _CHUNK_BYTES))
            if count == 0:
                return
            offset += count


def _copy_attributes(source: int, target: int, info: os.stat_result) -> None:
    os.fchown(target, info.st_uid, info.st_gid)
    wanted = {name: os.getxattr(source, name) for name in os.listxattr(source)}
    for name in os.listxattr(target):
        if name not in wanted:
            os.removexattr(target, name)
    for name, value in wanted.items():
        os.setxattr(target, name, value)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        with _opened_at(directory, name) as inside:
            empty_directory(inside)
        os.rmdir(name, dir_fd=directory)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened_at(directory: int, name: str) -> Iterator[int]:
    fd = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)
