"""How a failure between clone and execve travels: errno, operation and path as one JSON message.

The child notes with `at` what it is about to do; nothing is formatted there that would need another module,
for behind pivot_root an import would look into the image.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from pycompose.engine.errors import (
    DOCTOR,
    FEW_IDS,
    NO_PROCESSES,
    ChildError,
    EngineError,
    ExecError,
    MountError,
    PycomposeError,
    doctor_row,
)
from pycompose.engine.linux import userns

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
# What a kernel says that can't do something, or may not do it for us.
_LACKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EPERM)
MAP_IDS = "map the ids of"
MOUNT_SUBPATH = "mount the subpath"
CHANGE_USER = "change the user"
SET_LIMIT = "set ulimit"
# A start needs that many: a copy of what is mounted below the image's binds, and two dozen of the container's own.
SOME_MOUNTS = 100
_IDMAP_HINTS = {
    errno.EINVAL: "x-idmap needs a file system that can do it: ext4, xfs, btrfs, tmpfs since Linux 6.3; not NFS, nor "
    "one below which such is mounted (bind: {recursive: disabled} leaves that out)",
    errno.EPERM: "x-idmap: the ids of what is mounted there are mapped already, or user namespaces are forbidden here",
    errno.ENOSPC: "x-idmap needs a user namespace for a moment: raise user.max_user_namespaces with sysctl",
    errno.ENOSYS: "x-idmap needs Linux 5.12",
}
_HIGH_LIMIT = (
    "it is above the hard limit that pycompose was started with: lower it, or raise that one "
    "(limits.conf(5), LimitNOFILE= and its like in a unit)"
)
_position = ["start", ""]


def at(op: str, path: str = "") -> None:
    """Note the operation that comes next and the container or host path it is about."""
    _position[:] = [op, path]


def describe(exc: BaseException) -> dict[str, Any]:
    """Return `exc` as what is sent to the keeper."""
    op, path = _position
    if isinstance(exc, PycomposeError):
        return {"errno": 0, "op": op, "path": path, "message": exc.message, "hint": exc.hint}
    if isinstance(exc, OSError):
        return {"errno": exc.errno or 0, "op": op, "path": path, "message": exc.strerror or str(exc)}
    return {"errno": 0, "op": op, "path": path, "message": f"{type(exc).__name__}: {exc}"}


def _mounts_are_used_up() -> bool:
    """Tell whether this mount namespace has room for no container: mount(2) has one error for that and full disks."""
    most = int(Path("/proc/sys/fs/mount-max").read_text(encoding="ascii"))
    return Path("/proc/self/mountinfo").read_bytes().count(b"\n") > most - SOME_MOUNTS


def _mounted_below(path: str) -> str:
    """Return where something is mounted below a directory that is shown without root, "" for nowhere."""
    if userns.is_initial() or path == "/":
        return ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split(" ", 5)[4] for line in file]
    return next((point for point in points if point.startswith(f"{path}/")), "")


def to_error(name: str, failure: dict[str, Any]) -> EngineError:
    """Return the error to raise for a `failure` of the child of container `name`."""
    number, op, path = failure["errno"], failure["op"], failure["path"]
    reason = failure["message"]
    hint = failure.get("hint")
    if op == "execve":
        code = 127 if number in _NOT_FOUND else 126
        reason = "executable file not found" if number in _NOT_FOUND else os.strerror(number).lower()
        return ExecError(f"{name}: cannot execute {path}: {reason}", exit_code=code)
    if number == 0 and hint is not None:
        return ChildError(f"{name}: {reason}", step=op, hint=hint)
    message = f"{name}: cannot {op}{' ' if path else ''}{path}: {reason}"
    if op.startswith("mount"):
        if number == errno.ENOTDIR:
            hint = "a directory can only be mounted on a directory, and a file on a file"
        elif number == errno.ELOOP:
            hint = "the image has a symbolic link there"
        elif number == errno.EINVAL and op == "mount overlay" and (below := _mounted_below(path)):
            message = f"{name}: cannot use {path} of this machine: something is mounted at {below}"
            hint = "without root the kernel doesn't let that be left out: unmount it, or use another image than `host`"
        elif number == errno.EINVAL and op == "mount overlay":
            hint = (
                "an overlay can't be written to another overlay, as inside a container: "
                "set PYCOMPOSE_ROOT to a directory on a file system of its own, such as a volume or tmpfs; "
                + DOCTOR
            )
        elif number == errno.ENOSPC and (
            reason.startswith(("move_mount", "open_tree")) or _mounts_are_used_up()
        ):
            # mount_namespaces(7): not the disk is full
            hint = (
                "the machine has as many mounts as fs.mount-max allows: unmount some, or raise it with sysctl"
            )
        elif op == MOUNT_SUBPATH and number == errno.ENOENT:
            hint = "the volume or image has nothing of that name: make it there first, or mount all without `subpath`"
        elif number == errno.EINVAL and reason.startswith("tmpfs"):
            hint = "size takes bytes, with k, m or g, or a percentage; mode is octal; uid and gid are numbers"
        elif number in _LACKS:
            hint = DOCTOR
        return MountError(message, hint=hint)
    if op == CHANGE_USER and number == errno.EINVAL and not userns.is_initial():
        reason = f"it is none of the ids that this user has ({userns.count():,})"
        return ChildError(f"{name}: cannot {op} {path}: {reason}", step=op, errno=number, hint=FEW_IDS)
    if op == SET_LIMIT and number == errno.EPERM:
        hint = _HIGH_LIMIT + (f"; {doctor_row('open files')}" if path == "nofile" else "")
    if op == MAP_IDS:
        return MountError(message, hint=_IDMAP_HINTS.get(number, DOCTOR))
    if number == errno.EAGAIN and reason.startswith("clone3"):
        hint = NO_PROCESSES
    elif number == errno.ENOSYS:
        hint = DOCTOR
    return ChildError(message, step=op, errno=number, hint=hint)
