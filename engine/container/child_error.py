"""How a failure between clone and execve travels: errno, operation and path as one JSON message.

The child notes with `at` what it is about to do; nothing is formatted there that would need another module,
for behind pivot_root an import would look into the image.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from pycompose.engine.errors import DOCTOR, ChildError, EngineError, ExecError, MountError, PycomposeError

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
# What a kernel says that can't do something, or may not do it for us.
_LACKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENODEV, errno.EPERM)
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
        elif number == errno.EINVAL and op == "mount overlay":
            hint = (
                "an overlay can't be written to another overlay, as inside a container: "
                "set PYCOMPOSE_ROOT to a directory on a file system of its own, such as a volume or tmpfs; "
                + DOCTOR
            )
        elif number in _LACKS:
            hint = DOCTOR
        return MountError(message, hint=hint)
    return ChildError(message, step=op, errno=number, hint=hint)
