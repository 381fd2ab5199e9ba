"""Filling an empty volume from the image's directory, as Docker does for named and anonymous volumes.

Databases and web images rely on it: content, owners, modes and extended attributes of the directory at the mount
target appear in the volume before its first use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.errors import VolumeError
from pycompose.engine.linux.fs import open_in_root
from pycompose.engine.linux.mounts import new_filesystem, overlay_marks
from pycompose.engine.statefiles import locked
from pycompose.volumes.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pycompose.engine.config import RootfsTree

_CHUNK_BYTES = 1 << 30
# Up to here reading and writing costs less than the kernel's way from file to file.
_SMALL_BYTES = 1 << 14
_BLOCK_BYTES = 512  # what st_blocks counts
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_up(
    volume: Path, trees: Sequence[RootfsTree], target: str, *, name: str, foreign: bool = False
) -> bool:
    """Fill `volume`/_data from `target` in the image if it is empty; return whether something was copied.

    Guarded by the lock of the volume's directory, so parallel replicas don't copy twice. A copy that was cut off
    leaves a marker and is done again from the start, unless what is mounted there is `foreign`: nothing of it is ever
    removed. Raises VolumeError.
    """
    marker = volume / "copying"
    data = volume / "_data"
    try:
        with locked(volume):
            if marker.exists() and not foreign:
                _empty(data)
            elif os.listdir(data):
                return False
            with _image_directory(trees, target) as source:
                if source is None:
                    return False
                if not foreign:
                    marker.touch()
                destination = os.open(data, _DIRECTORY)
                try:
                    _Copy(destination).tree(source, destination)
                finally:
                    os.close(destination)
                marker.unlink(missing_ok=True)
                return True
    except (OSError, RecursionError) as exc:
        where = f" ({exc.filename})" if isinstance(exc, OSError) and exc.filename else ""
        reason = exc.strerror if isinstance(exc, OSError) else "too many directories inside each other"
        raise VolumeError(
            f"volume {name}: cannot copy {target} of the image into it: {reason}{where}"
        ) from exc


@contextlib.contextmanager
def _image_directory(trees: Sequence[RootfsTree], target: str) -> Iterator[int | None]:
    """Yield a descriptor of the directory at `target` in the image, None when there is none."""
    inside = [tree for tree in trees if (target + "/").startswith(tree.target.rstrip("/") + "/")]
    tree = max(inside, key=lambda item: len(item.target))
    root = _merged(tree.lowers)
    try:
        relative = target[len(tree.target.rstrip("/")) :].lstrip("/") or "."
        try:
            found = open_in_root(root, relative, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            yield found
        finally:
            os.close(found)
    finally:
        os.close(root)


def _merged(lowers: Sequence[str]) -> int:
    """Return a descriptor of the merged view of an image's layers: a read-only overlay that is mounted nowhere."""
    if len(lowers) == 1:
        return os.open(lowers[0], _DIRECTORY)
    fds = [os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for lower in lowers]
    try:
        try:
            return new_filesystem("overlay", [*(("lowerdir+", fd) for fd in fds), *overlay_marks()])
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                raise
            names = ":".join(f"/proc/self/fd/{fd}" for fd in fds)
            return new_filesystem("overlay", [("lowerdir", names), *overlay_marks()])
    finally:
        for fd in fds:
            os.close(fd)


class _Copy:
    """One copy into the volume whose root is `root`; remembers inodes, so that hard links stay hard links."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._links: dict[tuple[int, int], str] = {}
        self._owner = (os.geteuid(), os.getegid())
        # Each file read would have a new time of access otherwise, to be written to the image's disk.
        self._reading = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOATIME

    def tree(self, source: int, destination: int, prefix: str = "") -> None:
        """Copy the content and then the attributes of one directory; `prefix` is its path in the volume."""
        with os.scandir(source) as listed:
            entries = sorted(listed, key=_name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                self._directory(source, destination, entry.name, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                self._file(source, destination, entry.name, prefix)
            else:
                _copy_special(source, destination, entry.name)
        _copy_attributes(source, destination, os.fstat(source))

    def _directory(self, source: int, destination: int, name: str, prefix: str) -> None:
        os.mkdir(name, 0o700, dir_fd=destination)
        child_source = os.open(name, _DIRECTORY, dir_fd=source)
        child = os.open(name, _DIRECTORY, dir_fd=destination)
        try:
            self.tree(child_source, child, prefix)
        finally:
            os.close(child_source)
            os.close(child)

    def _file(self, source: int, destination: int, name: str, prefix: str) -> None:
        reading = self._open(source, name)
        try:
            info = os.fstat(reading)
            if info.st_nlink > 1:
                first = self._links.setdefault((info.st_dev, info.st_ino), f"{prefix}{name}")
                if first != f"{prefix}{name}":
                    os.link(first, name, src_dir_fd=self._root, dst_dir_fd=destination, follow_symlinks=False)
                    return
            # Nobody may see more of what is another's than its owner lets him, not even for a moment.
            ours = (info.st_uid, info.st_gid) == self._owner
            mode = stat.S_IMODE(info.st_mode) & 0o777 if ours else 0o600
            writing = os.open(name, _NEW_FILE, mode, dir_fd=destination)
            try:
                _copy_content(reading, writing, info)
                _copy_attributes(reading, writing, info)
            finally:
                os.close(writing)
        finally:
            os.close(reading)

    def _open(self, directory: int, name: str) -> int:
        try:
            return os.open(name, self._reading, dir_fd=directory)
        except PermissionError:  # O_NOATIME is for owners: of a user namespace's files, those that it maps
            self._reading &= ~os.O_NOATIME
            return os.open(name, self._reading, dir_fd=directory)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _copy_special(source: int, destination: int, name: str) -> None:
    """Copy a symbolic link or a FIFO; devices and sockets have no place in a volume."""
    info = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=destination)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=destination, follow_symlinks=False)
    elif stat.S_ISFIFO(info.st_mode):
        os.mkfifo(name, 0o600, dir_fd=destination)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=destination, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=destination)


def _copy_content(reading: int, writing: int, info: os.stat_result) -> None:
    """Copy what is in a file; holes stay holes."""
    if info.st_size <= _SMALL_BYTES:
        while data := os.read(reading, _SMALL_BYTES):
            left = memoryview(data)
            while left:  # a disk that is nearly full takes a part, and says so at the next one
                left = left[os.write(writing, left) :]
            if len(data) >= info.st_size:
                break
    elif info.st_blocks * _BLOCK_BYTES < info.st_size:
        _copy_sparse(reading, writing, info.st_size)
    else:
        _copy_range(reading, writing, info.st_size)


def _copy_sparse(reading: int, writing: int, size: int) -> None:
    """Copy what lies between a file's holes (lseek(2), SEEK_DATA)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(reading, end, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            break  # a hole to the end
        end = min(os.lseek(reading, start, os.SEEK_HOLE), size)
        os.lseek(reading, start, os.SEEK_SET)
        os.lseek(writing, start, os.SEEK_SET)
        _copy_range(reading, writing, end - start)
    os.ftruncate(writing, size)


def _copy_range(reading: int, writing: int, left: int) -> None:
    """Copy `left` bytes from where both files are, or as many as there are."""
    while left > 0:
        count = _copy_chunk(reading, writing, min(left, _CHUNK_BYTES))
        if count == 0:
            break
        left -= count


def _copy_chunk(reading: int, writing: int, count: int) -> int:
    """Copy up to `count` bytes, as a reflink where the filesystem can (copy_file_range(2))."""
    try:
        return os.copy_file_range(reading, writing, count)
    except OSError as exc:
        if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return os.sendfile(writing, reading, None, count)


def _copy_attributes(source: int, destination: int, info: os.stat_result) -> None:
    """Give an open file or directory the owner, mode, extended attributes and times that another one has.

    What it has already isn't set again: that would cost as much as to make the file.
    """
    made = os.fstat(destination)
    mode = stat.S_IMODE(info.st_mode)
    differs = (made.st_uid, made.st_gid) != (info.st_uid, info.st_gid)
    if differs:
        os.fchown(destination, info.st_uid, info.st_gid)
    if differs or stat.S_IMODE(made.st_mode) != mode:
        os.fchmod(destination, mode)
    for name in os.listxattr(source):
        if name.startswith(("trusted.", "user.overlay.", "security.selinux")):
            continue
        with contextlib.suppress(OSError):
            os.setxattr(destination, name, os.getxattr(source, name))
    os.utime(destination, ns=(info.st_atime_ns, info.st_mtime_ns))


def _empty(directory: Path) -> None:
    for entry in list(os.scandir(directory)):
        if entry.is_dir(follow_symlinks=False):
            remove_tree(directory / entry.name)
        else:
            os.unlink(entry.path)
