"""The cgroup2 side: controllers, kill, freeze, events (Documentation/admin-guide/cgroup-v2.rst).

Where there are controllers, a container's group has them enabled for the group in it that holds the processes. That one
has children for execs, but never controllers for them: so the rule "no processes in inner nodes" doesn't bite, and
the container's limits cover its execs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files
from pycompose.engine.errors import CgroupError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")
_ROUNDS = 100


def create(mount: Path, parts: tuple[str, ...], *, ours: bool = True) -> tuple[Path, bool]:
    """Create the group `parts` below `mount`, controllers enabled top-down; return it and whether it has any.

    `ours` is as for files.make_parent. A group of that name that an earlier run left empty is replaced.
    Raises OSError, and CgroupError when it is in use or threaded.
    """
    group = mount.joinpath(*parts)
    for _ in range(_ROUNDS):
        try:
            level = mount
            for part in parts[:-1]:
                enable(level, CONTROLLERS)
                level /= part
                files.make_parent(level, ours=ours)
            limited = enable(level, CONTROLLERS)
            new = files.make(group)
        except OSError as exc:
            if exc.errno not in files.GONE:
                raise
            continue  # the last container of a parent was removed meanwhile, and the parent with it
        if not new:
            refuse_in_use(group)
            files.remove_tree(group, time.monotonic())
            continue
        kind = files.read(group, "cgroup.type")
        if kind != "domain":
            group.rmdir()
            raise CgroupError(f"cgroup {group}: cannot use: its type is {kind}, not domain")
        return group, limited
    raise CgroupError(f"cgroup {group}: cannot create: others remove it again and again")


def create_inside(group: Path) -> Path:
    """Create the group in `group` that the processes are put into; raises OSError."""
    enable(group, CONTROLLERS)
    inside = group / files.INSIDE
    files.make(inside)
    return inside


def refuse_in_use(group: Path) -> None:
    """Raise CgroupError when processes are in `group`, or it is frozen."""
    events = files.read_flat(group, "cgroup.events")
    for event in ("populated", "frozen"):
        if events.get(event):
            raise CgroupError(f"cgroup {group}: cannot create: it exists and is {event}")


def enable(group: Path, controllers: Collection[str]) -> bool:
    """Enable for the children of `group` those of `controllers` that it has and the kernel lets us.

    Tells whether it has any.
    """
    enabled = files.read(group, "cgroup.subtree_control").split()
    available = files.read(group, "cgroup.controllers").split()
    missing = [f"+{name}" for name in controllers if name in available and name not in enabled]
    if not missing:
        return any(name in available for name in controllers)
    try:
        files.write(group, "cgroup.subtree_control", " ".join(missing))
    except OSError as exc:
        if exc.errno == errno.EBUSY:
            vacate(group)
        for name in missing:  # a controller that can't be enabled is missed by who asks for its limits
            with contextlib.suppress(OSError):
                files.write(group, "cgroup.subtree_control", name)
    return True


def vacate(group: Path) -> None:
    """Move the processes of `group` to a child `init`.

    Needed once in a cgroup namespace whose root holds processes, which is what a container starts with.
    """
    files.make(group / "init")
    for _ in range(_ROUNDS):
        pids = files.read(group, "cgroup.procs").split()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(OSError):
                files.write(group / "init", "cgroup.procs", pid)


def kill(group: Path) -> None:
    """SIGKILL everything in `group` and below, frozen or not; raises OSError."""
    try:
        files.write(group, "cgroup.kill", "1")
    except FileNotFoundError:
        if not os.path.isdir(group):
            raise
        kill_each(group)


def kill_each(group: Path) -> None:
    """Do what cgroup.kill does where the kernel has no such file (before 5.14); raises OSError, CgroupError.

    Nobody forks away from a frozen group, and whoever is frozen there dies all the same.
    """
    freeze(group, frozen=True)
    for pid in files.processes(group):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    freeze(group, frozen=False)


def freeze(group: Path, *, frozen: bool, timeout_s: float = 5.0) -> None:
    """Freeze or thaw, and wait for it; raises OSError, and CgroupError (thawed again) after `timeout_s`."""
    files.write(group, "cgroup.freeze", str(int(frozen)))
    if not wait_event(group, "frozen", value=int(frozen), timeout_s=timeout_s):
        if frozen:
            files.write(group, "cgroup.freeze", "0")
        raise CgroupError(
            f"cgroup {group}: cannot {'freeze' if frozen else 'thaw'}: not within {timeout_s} s"
        )


def wait_event(group: Path, event: str, *, value: int, timeout_s: float) -> bool:
    """Wait until `event` of cgroup.events (`populated`, `frozen`) has `value`; False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    fd = files.open_file(group, "cgroup.events")
    try:
        poller = select.poll()
        poller.register(fd, select.POLLPRI)
        while True:
            if f"{event} {value}".encode() in os.pread(fd, 4096, 0).splitlines():
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000):
                return f"{event} {value}".encode() in os.pread(fd, 4096, 0).splitlines()
    finally:
        os.close(fd)
