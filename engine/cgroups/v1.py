"""The v1 side: one directory per mounted controller, the freezer as the only way to stop a group.

Kernel: Documentation/admin-guide/cgroup-v1/ (cpusets.rst, freezer-subsystem.rst, memory.rst).
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from functools import cache
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files
from pycompose.engine.errors import CgroupError

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS = 100
_KILL_ROUNDS = 5


def create(mount: Path, parts: tuple[str, ...], controllers: tuple[str, ...], *, ours: bool = True) -> Path:
    """Create the group `parts` below the mount point of `controllers`, ready to be attached to.

    An empty one that an earlier run left is replaced. `ours` is as for files.make_parent. Raises OSError, and
    CgroupError when it is in use.
    """
    group = mount.joinpath(*parts)
    for _ in range(_ROUNDS):
        try:
            try:
                new = files.make(group)
            except FileNotFoundError:
                _make_parents(mount, parts[:-1], controllers, ours=ours)
                new = files.make(group)
            if new:
                _settle(group, controllers)
        except OSError as exc:
            if exc.errno not in files.GONE:
                raise
            continue  # the parent was removed meanwhile
        if new:
            return group
        if files.processes(group):
            raise CgroupError(f"cgroup {group}: cannot create: it exists and holds processes")
        files.remove_tree(group, time.monotonic())
    raise CgroupError(f"cgroup {group}: cannot create: others remove it again and again")


def create_inside(group: Path, controllers: tuple[str, ...]) -> Path:
    """Create the group in `group` that the processes are put into; raises OSError."""
    inside = group / files.INSIDE
    files.make(inside)
    if "cpuset" in controllers:
        _fill(inside)
    return inside


def _make_parents(mount: Path, parts: tuple[str, ...], controllers: tuple[str, ...], *, ours: bool) -> None:
    level = mount
    for part in parts:
        level /= part
        if files.make_parent(level, ours=ours):
            _prepare(level, controllers)


def grant_realtime(mount: Path, group: Path, share: float) -> None:
    """Raise the real-time budget of our parents of `group` by its `share` of a processor.

    The kernel wants the sum of the children's shares in the parent first. What it refuses here it refuses
    again for the group itself, where it is an error.
    """
    parents = [parent for parent in group.parents if mount in parent.parents]
    for parent in reversed(parents):
        with contextlib.suppress(OSError, ValueError):
            period, runtime = (
                int(files.read(parent, name)) for name in ("cpu.rt_period_us", "cpu.rt_runtime_us")
            )
            used = sum(map(_realtime_share, (child for child in parent.iterdir() if child.is_dir())))
            wanted = math.ceil(period * (used + share))
            if wanted > runtime:
                files.write(parent, "cpu.rt_runtime_us", str(wanted))


def freeze(group: Path, *, frozen: bool, timeout_s: float = 5.0) -> None:
    """Freeze or thaw, and wait for it; raises OSError, and CgroupError (thawed again) after `timeout_s`."""
    wanted = "FROZEN" if frozen else "THAWED"
    deadline = time.monotonic() + timeout_s
    while True:
        files.write(group, "freezer.state", wanted)  # again each time: a fork may have slipped through
        if files.read(group, "freezer.state") == wanted:
            return
        if time.monotonic() >= deadline:
            files.write(group, "freezer.state", "THAWED")
            raise CgroupError(f"cgroup {group}: cannot freeze: not within {timeout_s} s")
        time.sleep(files.RETRY_S)


def thaw_all(group: Path) -> None:
    """Thaw `group` and every group below it: a frozen process doesn't even die of SIGKILL."""
    for level in files.tree(group):
        with contextlib.suppress(OSError):
            if files.read(level, "freezer.state") != "THAWED":
                files.write(level, "freezer.state", "THAWED")


def kill(group: Path) -> None:
    """SIGKILL everything in a freezer group, while it is frozen so that nobody forks away; raises OSError.

    Where somebody can't be frozen (uninterruptible sleep) the killing is repeated instead.
    """
    for _ in range(_KILL_ROUNDS):
        complete = True
        try:
            freeze(group, frozen=True, timeout_s=0.5)
        except CgroupError:
            complete = False
        try:
            for pid in files.processes(group):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            thaw_all(group)
        if complete:
            return


def _prepare(group: Path, controllers: tuple[str, ...]) -> None:
    """Set what the groups in a new parent inherit: no release agent, its processors, limits that cover them."""
    files.write(group, "notify_on_release", "0")
    if "cpuset" in controllers:
        _fill(group)
        files.write(group, "cgroup.clone_children", "1")
    if "memory" in controllers:
        with contextlib.suppress(OSError):  # Linux 5.11 and later know nothing else
            files.write(group, "memory.use_hierarchy", "1")


def _settle(group: Path, controllers: tuple[str, ...]) -> None:
    """Do for the new group of a container what its parent hasn't done: older versions', or somebody else's."""
    if "cpuset" in controllers:
        _fill(group)
    if _tells_an_agent(group.parent):
        files.write(group, "notify_on_release", "0")


@cache
def _tells_an_agent(group: Path) -> bool:
    """Tell whether new groups in `group` would have a program of the host's run when they become empty."""
    return files.read(group, "notify_on_release") != "0"


def _fill(group: Path) -> None:
    """Fill a new cpuset from its parent, unless the kernel has: it starts empty and takes nobody in.

    A parent that is still empty is filled first: whoever makes it hasn't come to that, or was killed. What is written
    last tells about both.
    """
    if files.read(group, "cpuset.mems"):
        return
    if not files.read(group.parent, "cpuset.mems"):
        _fill(group.parent)
    for name in ("cpuset.cpus", "cpuset.mems"):
        files.write(group, name, files.read(group.parent, name))


def _realtime_share(group: Path) -> float:
    return int(files.read(group, "cpu.rt_runtime_us")) / int(files.read(group, "cpu.rt_period_us"))
