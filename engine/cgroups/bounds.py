"""What bounds a process by its control groups, those above included.

Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, Documentation/scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.engine.cgroups.hosts import Hierarchies

# By controller of v1; "" is the hierarchy of v2.
_FILES = {
    "": ("memory.max", "memory.high", "cpu.max"),
    "memory": ("memory.limit_in_bytes",),
    "cpu": ("cpu.cfs_quota_us",),
}
_NO_QUOTA = "-1"
_NO_MAXIMUM = "max"
# v1 says the most that its counter of pages can hold.
_NO_LIMIT_BYTES = 1 << 62


def bounds(groups: str, mounted: Hierarchies) -> dict[str, str]:
    """Return the limits of memory and processor time that hold in `groups`, a text of /proc/PID/cgroup.

    File → what it says; nothing for groups that can't be seen from here.
    """
    found = {}
    for group, name in _places(groups, mounted):
        try:
            text = files.read(group, name)
        except OSError:
            continue  # the uppermost group has none
        if _is_bound(text):
            found[f"{group}/{name}"] = text
    return found


def _places(groups: str, mounted: Hierarchies) -> Iterator[tuple[Path, str]]:
    """Yield the groups of a process, and those above, with the files that may bound it."""
    for line in groups.splitlines():
        _number, names, path = line.split(":", 2)
        for controller in names.split(","):
            mount = mounted.v1.get(controller) if controller else mounted.unified
            if mount is None or controller not in _FILES:
                continue
            for group in (PurePosixPath(path), *PurePosixPath(path).parents):
                for name in _FILES[controller]:
                    yield mount / str(group).lstrip("/"), name


def _is_bound(text: str) -> bool:
    word = text.partition(" ")[0]
    return word not in (_NO_MAXIMUM, _NO_QUOTA) and int(word) < _NO_LIMIT_BYTES
