"""What hides a name of the layers below, in both forms of overlayfs (Documentation/filesystems/overlayfs.rst).

A character device 0:0; or, since Linux 6.8, an empty file with an attribute, in a directory that is marked as one that
has such. The second is for layers that lie on an overlay themselves, as inside a container, which refuses the first.
"""

from __future__ import annotations

import errno
import os
import stat

from pycompose.engine.linux import userns

_WHITEOUT = "trusted.overlay.whiteout"
# Of root, and of others, in whose user namespace only user.* may be set.
OPAQUE_XATTRS = ("trusted.overlay.opaque", "user.overlay.opaque")
_HAS_WHITEOUTS = b"x"
# An overlay before Linux 6.7 keeps no attributes of other overlays.
_CANNOT = "this file system can't hold what hides files of lower layers; PYCOMPOSE_ROOT names another place"


def make_whiteout(directory: int, name: bytes) -> None:
    """Hide `name` of the layers below in an open directory. Raises OSError."""
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)
    except PermissionError:
        _make_file(directory, name)


def _make_file(directory: int, name: bytes) -> None:
    fd = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
    )
    try:
        os.setxattr(fd, _WHITEOUT, b"y")
        os.setxattr(directory, OPAQUE_XATTRS[0], _HAS_WHITEOUTS)
    except OSError as exc:
        os.unlink(name, dir_fd=directory)
        raise _explained(exc, os.fsdecode(name)) from exc
    finally:
        os.close(fd)


def is_whiteout(path: str | bytes, status: os.stat_result) -> bool:
    """Tell whether what `status` is of hides a name of lower layers; `path` leads to it, links followed."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    if status.st_size or not stat.S_ISREG(status.st_mode):
        return False
    try:
        os.getxattr(path, _WHITEOUT)
    except OSError as exc:
        if exc.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return False
        raise
    return True


def make_opaque(directory: int, *, privileged: bool) -> None:
    """Have overlayfs show nothing of lower layers in an open directory. Raises OSError."""
    try:
        os.setxattr(directory, OPAQUE_XATTRS[0 if privileged and userns.is_initial() else 1], b"y")
    except OSError as exc:
        raise _explained(exc, os.readlink(f"/proc/self/fd/{directory}")) from exc


def _explained(exc: OSError, name: str) -> OSError:
    """Return what to raise for an attribute that couldn't be set: a full disk is no lack of the file system."""
    cannot = exc.errno in (errno.EOPNOTSUPP, errno.EPERM)
    return OSError(exc.errno, _CANNOT if cannot else exc.strerror, name)
