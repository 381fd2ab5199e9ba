"""Directories of the state: only for their owner, however they came to be (CVE-2021-41091).

What is below them isn't only ours: a program with the setuid bit in a volume, or in the writable layer of a container,
must not be reached by anybody on the machine, nor may others learn which projects and containers there are.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

MODE = 0o700
# The directories below the two roots (StatePaths), but for the lowest layer of all containers, which is open.
IN_ROOT = (
    "images",
    "volumes",
    "projects",
    "containers",
    "names",
    "seccomp",
    "builder",
    "networks",
    "snapshots",
)
IN_RUN = ("projects", "containers", "netns", "files", "networks", "volumes", "layers", "journal")


def make_directory(path: Path) -> Path:
    """Make `path` and what is missing above it, each of them 0700 at most, and return it; raises OSError.

    (Path.mkdir gives its mode to the last one only.)
    """
    try:
        os.mkdir(path, MODE)
    except FileNotFoundError:
        make_directory(path.parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, MODE)
    except FileExistsError:
        pass
    return path


def close_to_others(paths: StatePaths) -> None:
    """Take away what others may do with the two state roots and the directories in them; called at every start.

    Older versions left them open. A root that holds somebody else's things too (PYCOMPOSE_RUN=/run) stays as it is,
    what is ours in it doesn't. Those that don't exist, or that we may not change, are passed over.
    Raises StateError for one that belongs to another user: that one could exchange everything in it.
    """
    for root, names in ((str(paths.root), IN_ROOT), (str(paths.run), IN_RUN)):
        if _is_open(root) and _holds_only(
            root,
            {*names, paths.base.name, paths.init.name, paths.relay.name, paths.subnets.name, "lost+found"},
        ):
            _close(root)
        for name in names:
            path = f"{root}/{name}"
            if _is_open(path):
                _close(path)


def _is_open(path: str) -> bool:
    """Tell whether others may do anything with `path`; False where it isn't there."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    me = os.geteuid()
    if me == 0 and status.st_uid != me:
        raise StateError(
            f"state directory {path}: cannot use: it belongs to user {status.st_uid}",
            hint=f"give it to root (chown root {path}), or choose another one with PYCOMPOSE_ROOT and PYCOMPOSE_RUN",
        )
    return status.st_uid == me and bool(stat.S_IMODE(status.st_mode) & ~MODE)


def _holds_only(root: str, names: set[str]) -> bool:
    return all(name in names or name.startswith(".") for name in os.listdir(root))


def _close(path: str) -> None:
    with contextlib.suppress(OSError):  # a read-only file system, for those who only look
        os.chmod(path, MODE)
