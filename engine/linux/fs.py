"""Paths that the kernel resolves inside a directory: openat2(2), and what is built on it.

Below the planner a path is followed by a descriptor, never twice by name: another container can rename things
in a shared volume between two looks.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Callable

from pycompose.engine.linux.libc import AT_FDCWD, call, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270

_RETRIES = 128
_MAX_LINKS = 40


class _OpenHow(ctypes.Structure):
    """Struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(dir_fd: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Return a close-on-exec descriptor of `path`, by openat2; raises OSError whose filename is `path`.

    The kernel answers EAGAIN when something was renamed while it looked for `..` under RESOLVE_IN_ROOT or
    RESOLVE_BENEATH; that is retried, as the man page asks. With O_NONBLOCK it also is the answer for a file that
    somebody has a lease on (fcntl(2), F_SETLEASE), a container for example.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    for _ in range(_RETRIES):
        try:
            return syscall("openat2", dir_fd, path, ctypes.byref(how), ctypes.sizeof(how), path=path)
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, "openat2: held by a lease, or renamed under our hands again and again", path)


def open_host(path: str | bytes, flags: int = os.O_PATH) -> int:
    """Open a path of the host that the user named: the user's symlinks are followed, magic links are not."""
    return openat2(AT_FDCWD, path, flags, resolve=RESOLVE_NO_MAGICLINKS)


def open_in_root(root_fd: int, path: str | bytes, flags: int = os.O_PATH, *, extra: int = 0) -> int:
    """Open `path` as if `root_fd` were `/`: absolute symlinks and `..` stay inside (RESOLVE_IN_ROOT).

    `extra` adds resolve flags, such as RESOLVE_NO_SYMLINKS.
    """
    return openat2(root_fd, path, flags, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | extra)


def split(path: str) -> list[str]:
    """Return the components of a container path, cleaned lexically: no empty ones, no `.`, `..` applied."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def clean(path: str) -> str:
    """Return an absolute container path, cleaned lexically."""
    return "/" + "/".join(split(path))


def make_directories(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Return an O_PATH descriptor of directory `path` inside `root_fd`; what is missing of it is made.

    Raises OSError, ENOTDIR when a file is in the way.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return _walk(root_fd, path, lambda name, parent_fd: os.mkdir(name, mode, dir_fd=parent_fd))


def make_file(root_fd: int, path: str, mode: int = 0o644) -> int:
    """Return an O_PATH descriptor of the file `path` inside `root_fd`; an empty one is made where nothing is.

    Anything that isn't a directory will do as a place to mount a file on. Raises OSError.
    """

    def create(name: str, parent_fd: int) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(name, flags, mode, dir_fd=parent_fd))

    try:
        return open_in_root(root_fd, path)
    except FileNotFoundError:
        return _walk(root_fd, path, create)


def _walk(root_fd: int, path: str, create_last: Callable[[str, int], None]) -> int:
    """Follow `path` from `root_fd` one component at a time and make what is missing.

    Symbolic links are read and their text is followed inside the root, dangling ones too (images have
    /etc/resolv.conf pointing into an empty /run). `..` goes back along the descriptors that we came by, so
    that no rename can lead out of the root.
    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    opened = [os.dup(root_fd)]
    links = 0
    try:
        while todo:
            name = todo.pop()
            if name == "..":
                if len(opened) > 1:
                    os.close(opened.pop())
                continue
            is_last = not todo
            fd = _open_or_make(name, opened[-1], create_last if is_last else _make_directory)
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                opened.append(fd)
                continue
            text = os.readlink("", dir_fd=fd)
            os.close(fd)
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if text.startswith("/"):
                while len(opened) > 1:
                    os.close(opened.pop())
            todo.extend(part for part in reversed(text.split("/")) if part not in ("", "."))
        return opened.pop()
    finally:
        for fd in opened:
            os.close(fd)


def _make_directory(name: str, parent_fd: int) -> None:
    os.mkdir(name, 0o755, dir_fd=parent_fd)


def _open_or_make(name: str, parent_fd: int, create: Callable[[str, int], None]) -> int:
    """Return an O_PATH descriptor of `name` itself, a symbolic link not followed; raises OSError."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent_fd)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            create(name, parent_fd)
        return os.open(name, flags, dir_fd=parent_fd)


def filesystem(fd: int) -> int:
    """Return the magic number of the filesystem that `fd` is on (fstatfs(2) f_type); raises OSError."""
    buffer = ctypes.create_string_buffer(256)
    call("fstatfs", fd, buffer)
    return int.from_bytes(buffer.raw[:4], "little")
