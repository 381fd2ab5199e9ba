"""What hides a name of the layers below, in both forms of overlayfs (Documentation/filesystems/overlayfs.rst).

A character device 0:0; or, since Linux 6.8, an empty file with an attribute, in a directory that is marked as one that
has such. The second is for layers that lie on an overlay themselves, as inside a container, which refuses the first.
"""

from __future__ import annotations

import errno
import os
import stat

_WHITEOUT = "trusted.overlay.whiteout"
_OPAQUE = "trusted.overlay.opaque"
_HAS_WHITEOUTS = b"x"


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
        os.setxattr(directory, _OPAQUE, _HAS_WHITEOUTS)
    except OSError as exc:
        os.unlink(name, dir_fd=directory)
        why = (
            "this file system can't hold what hides files of lower layers; PYCOMPOSE_ROOT names another place"
        )
        raise OSError(exc.errno, why, os.fsdecode(name)) from exc
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
