"""The control group that is the user's: what root, or systemd by `Delegate=`, has handed to him (cgroups(7)).

Only of version 2: in the hierarchies of version 1 nothing is an ordinary user's.
"""

from __future__ import annotations

import os

OWN = "pycompose"
_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def group() -> str:
    """Return the path below the mount of a group of ours in the topmost one above us that is this user's, "" for none.

    A process can only be moved within what is delegated, so it has to be one above us. That topmost group must be
    empty itself for limits to be had (its processes are in groups below, under systemd).
    """
    path = _own()
    root = next((root for root in _ROOTS if path and os.path.isfile(f"{root}/cgroup.procs")), "")
    found = ""
    while root and path and path != "/" and _is_ours(root + path):
        found, path = path, os.path.dirname(path)
    return f"{found.removeprefix('/')}/{OWN}" if found else ""


def _own() -> str:
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::/")), "")


def _is_ours(path: str) -> bool:
    """Tell whether groups can be made in the group, and processes moved into them."""
    try:
        return os.stat(path).st_uid == os.geteuid() and os.access(f"{path}/cgroup.procs", os.W_OK)
    except OSError:
        return False
