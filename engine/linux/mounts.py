"""The mount API by descriptors: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

A mount is made detached, gets all its flags there, and is attached on a descriptor: there is no moment at
which it has wrong flags, and no path that somebody could change between check and use.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable, Sequence

from pycompose.engine.linux import userns
from pycompose.engine.linux.libc import AT_EMPTY_PATH, AT_FDCWD, call, syscall

MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
_MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NODIRATIME = 0x80
_MOUNT_ATTR_IDMAP = 0x100000
# Options of mount(8) that belong to the mount, not to the file system: what each sets, or takes back.
OPTION_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, True),
    "rw": (MOUNT_ATTR_RDONLY, False),
    "nosuid": (MOUNT_ATTR_NOSUID, True),
    "suid": (MOUNT_ATTR_NOSUID, False),
    "nodev": (MOUNT_ATTR_NODEV, True),
    "dev": (MOUNT_ATTR_NODEV, False),
    "noexec": (MOUNT_ATTR_NOEXEC, True),
    "exec": (MOUNT_ATTR_NOEXEC, False),
    "noatime": (MOUNT_ATTR_NOATIME, True),
    "atime": (MOUNT_ATTR_NOATIME, False),
    "strictatime": (MOUNT_ATTR_STRICTATIME, True),
    "nostrictatime": (MOUNT_ATTR_STRICTATIME, False),
    "relatime": (MOUNT_ATTR_STRICTATIME | MOUNT_ATTR_NOATIME, False),
    "norelatime": (0, True),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, True),
    "diratime": (MOUNT_ATTR_NODIRATIME, False),
    "defaults": (0, True),
}

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_SET_FD = 5
_FSCONFIG_CMD_CREATE = 6
_OPEN_TREE_CLONE = 1
_AT_RECURSIVE = 0x8000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

Option = tuple[str, "str | int | None"]


class _MountAttr(ctypes.Structure):
    """Struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def new_filesystem(
    fstype: str, options: Iterable[Option] = (), attributes: int = 0, *, source: str = ""
) -> int:
    """Return the descriptor of a new, detached mount of `fstype`, of the device `source` if it wants one.

    An option's value is text, None for a flag, or a descriptor for options that take one. Raises OSError that
    carries what the filesystem itself says about the option it dislikes.
    """
    fd = syscall("fsopen", fstype, _FSOPEN_CLOEXEC, path=fstype)
    try:
        syscall("fsconfig", fd, _FSCONFIG_SET_STRING, "source", source or fstype, 0, path=fstype)
        for key, value in options:
            if value is None:
                syscall("fsconfig", fd, _FSCONFIG_SET_FLAG, key, None, 0, path=key)
            elif isinstance(value, int):
                syscall("fsconfig", fd, _FSCONFIG_SET_FD, key, None, value, path=key)
            else:
                syscall("fsconfig", fd, _FSCONFIG_SET_STRING, key, value, 0, path=f"{key}={value}")
        syscall("fsconfig", fd, _FSCONFIG_CMD_CREATE, None, None, 0, path=fstype)
        return syscall("fsmount", fd, _FSMOUNT_CLOEXEC, attributes, path=fstype)
    except OSError as exc:
        complaint = _complaint(fd)
        if complaint:
            raise OSError(exc.errno, f"{fstype}: {complaint}", exc.filename) from exc
        raise
    finally:
        os.close(fd)


def _complaint(fd: int) -> str:
    """Return the last message that the kernel left in a filesystem context, "" when there is none."""
    text = ""
    with contextlib.suppress(OSError):
        while True:
            text = os.read(fd, 4096).decode("utf-8", "replace").strip()
    return text.partition(" ")[2] if text[1:2] == " " else text


def overlay(lower_fds: Sequence[int], upper_fd: int, work_fd: int, attach_fd: int) -> int:
    """Return a detached overlay of `lower_fds` (topmost first) under `upper_fd`.

    Layers are given as descriptors (Linux 6.13); `attach_fd`, an empty directory, is what older kernels need
    to mount it somewhere first. Raises OSError.
    """
    options: list[Option] = [("lowerdir+", fd) for fd in lower_fds]
    options += [("upperdir", upper_fd), ("workdir", work_fd), *overlay_marks()]
    try:
        return new_filesystem("overlay", options)
    except OSError as exc:
        # Before 6.13 descriptors, before 6.5 the new API at all (EOPNOTSUPP) is unknown to overlayfs.
        if exc.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
            raise
        return overlay_by_names(lower_fds, upper_fd, work_fd, attach_fd)


def overlay_marks() -> tuple[Option, ...]:
    """Return the option for where an overlay keeps its own attributes: user.* where trusted.* are not for us.

    Without it, a user namespace's overlay reads no marks at all, and directories that were replaced show what was below
    them (Documentation/filesystems/overlayfs.rst, "userxattr"; Linux 5.11).
    """
    return () if userns.is_initial() else (("userxattr", None),)


def overlay_by_names(lower_fds: Sequence[int], upper_fd: int, work_fd: int, attach_fd: int) -> int:
    """Return the same overlay by mount(2), with names in /proc/self/fd that need no escaping and no length.

    Linux before 6.13. The options must fit a page, which is about 200 layers. Raises OSError.
    """
    name = "/proc/self/fd/{}".format
    lower = ":".join(map(name, lower_fds))
    marks = "".join(f",{key}" for key, _value in overlay_marks())
    data = f"lowerdir={lower},upperdir={name(upper_fd)},workdir={name(work_fd)}{marks}"
    call("mount", "overlay", name(attach_fd), "overlay", 0, data, path="overlay")
    try:
        # The descriptor still means the directory below; the mount on it is found by name.
        return clone_tree(AT_FDCWD, os.readlink(name(attach_fd)))
    finally:
        umount(os.readlink(name(attach_fd)))


def clone_tree(dir_fd: int, path: str | bytes = "", *, recursive: bool = False) -> int:
    """Return a detached copy of what is at `path`, or is `dir_fd` itself: a bind mount. Raises OSError."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_EMPTY_PATH if not path else 0)
    return syscall("open_tree", dir_fd, path, flags | (_AT_RECURSIVE if recursive else 0), path=path or None)


def attach(mount_fd: int, target_fd: int, path: str = "") -> None:
    """Attach the detached mount on what `target_fd` is; `path` is for the message. Raises OSError."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    syscall("move_mount", mount_fd, "", target_fd, "", flags, path=path)


def set_attributes(
    mount_fd: int, attributes: int = 0, *, clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Set MOUNT_ATTR_* flags and/or the propagation (MS_PRIVATE…) of a mount; raises OSError."""
    if attributes & _MOUNT_ATTR__ATIME:  # one of several values: it can't be set beside the old one
        clear |= _MOUNT_ATTR__ATIME
    change = _MountAttr(attributes, clear, propagation, 0)
    flags = AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", mount_fd, "", flags, ctypes.byref(change), ctypes.sizeof(change))


def map_ids(mount_fd: int, user_namespace: int, *, recursive: bool = False) -> None:
    """Have a detached mount show the ids that a user namespace maps those on the disk to (Linux 5.12).

    Raises OSError: EINVAL for a file system that can't, EPERM for a mount whose ids are mapped already.
    """
    change = _MountAttr(_MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    flags = AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", mount_fd, "", flags, ctypes.byref(change), ctypes.sizeof(change))


def set_propagation(path: str, flags: int) -> None:
    """Change the propagation of the mount at `path` (MS_SLAVE | MS_REC…); raises OSError."""
    call("mount", None, path, None, flags, None, path=path)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root of this mount namespace; raises OSError."""
    syscall("pivot_root", new_root, put_old, path=new_root)


def umount(path: str, flags: int = MNT_DETACH) -> None:
    """Detach the mount at `path`; raises OSError."""
    call("umount2", path, flags, path=path)
