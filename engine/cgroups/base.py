"""Making and finding the control group of a container, whatever this machine has: v2, v1, or both.

```
MOUNT/<StatePaths.cgroup_parent>/[<cgroup_parent:>/]<container id>/     limits, devices, the processes
                                                     └─ exec-<id>/      one exec or probe, to be killed alone
```
Controllers that v1 has get a directory each, with the same path. Only groups that we made are written to, but
for `cgroup.subtree_control` of their ancestors.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files, v1, v2
from pycompose.engine.cgroups.devices import attach, rules_for, v1_writes
from pycompose.engine.cgroups.group import Cgroup, write_limits
from pycompose.engine.cgroups.hosts import Hierarchies, Kind, detect
from pycompose.engine.cgroups.limits import ignored_on_v2
from pycompose.engine.errors import DOCTOR, CgroupError
from pycompose.engine.linux.fs import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pycompose.engine.cgroups.devices import DeviceRule
    from pycompose.engine.config import Device, Limits
    from pycompose.engine.paths import StatePaths

__all__ = ["Cgroup", "Kind", "create", "detect", "group_path", "open_existing"]

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


def create(  # noqa: PLR0913 - each is a field of ContainerConfig
    paths: StatePaths,
    container_id: str,
    limits: Limits,
    *,
    parent: str = "",
    devices: Sequence[Device] = (),
    device_rules: Sequence[str] = (),
    privileged: bool = False,
) -> Cgroup:
    """Make the group of a container, with its limits and device filter; empty and ready to be cloned into.

    `parent` is the compose key `cgroup_parent`. An empty group of an earlier run is replaced.
    Raises CgroupError: limits that this machine cannot honour (key, value, reason), a group in use. Then
    nothing is left behind.
    """
    host, parts = detect(), group_path(paths, container_id, parent)
    rules = () if privileged else rules_for(devices, device_rules)
    group = Cgroup(unified=None, leaves={}, own=(), parents=_parents(host, paths, parts))
    try:
        _create_directories(group, host, parts)
        write_limits(group.unified, group.leaves, limits)
        if "memory" not in group.leaves:
            group.warnings += tuple(f"{key} has no effect on cgroup v2" for key in ignored_on_v2(limits))
        if rules:
            _filter_devices(group, host, parts, rules)
    except BaseException:
        with contextlib.suppress(CgroupError):
            group.remove()
        raise
    return group


def open_existing(paths: StatePaths, container_id: str, *, parent: str = "") -> Cgroup:
    """Return the group that `create` made, by what of it exists; maybe nothing."""
    host, parts = detect(), group_path(paths, container_id, parent)
    unified = host.unified.joinpath(*parts) if host.unified else None
    leaves = {
        name: mount.joinpath(*parts) for name, mount in host.v1.items() if mount.joinpath(*parts).is_dir()
    }
    if unified and not unified.is_dir():
        unified = None
    own = (*((unified,) if unified else ()), *dict.fromkeys(leaves.values()))
    return Cgroup(unified=unified, leaves=leaves, own=own, parents=_parents(host, paths, parts))


def group_path(paths: StatePaths, container_id: str, parent: str = "") -> tuple[str, ...]:
    """Return the components of a container's group below each mount; raises CgroupError for a bad parent."""
    root = split(paths.cgroup_parent)
    inner = parent.split("/")
    if parent.startswith("/"):
        if split(parent)[: len(root)] != root:
            raise CgroupError(
                f"cgroup_parent: cannot use {parent}: outside /{'/'.join(root)}",
                hint="a relative path is a group below ours",
            )
        inner = split(parent)[len(root) :]
    if ".." in inner:
        raise CgroupError(f"cgroup_parent: cannot use {parent}: it has ..")
    return (*root, *split("/".join(inner)), container_id)


def _parents(host: Hierarchies, paths: StatePaths, parts: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the parents to remove with their last child, deepest first.

    A root of several components was delegated to us by somebody, who keeps it.
    """
    depth = len(split(paths.cgroup_parent))
    keep = depth if depth > 1 else 0
    mounts = [*([host.unified] if host.unified else []), *host.v1_mounts()]
    return tuple(mount.joinpath(*parts[:n]) for mount in mounts for n in range(len(parts) - 1, keep, -1))


def _create_directories(group: Cgroup, host: Hierarchies, parts: tuple[str, ...]) -> None:
    """Make the cgroup2 directory and one per v1 mount; pass over what isn't ours to write."""
    if host.unified:
        with _tolerated():
            group.unified = v2.create(host.unified, parts)
            group.own += (group.unified,)
    unneeded = {"devices"} | ({"freezer"} if group.unified else set())
    for mount, controllers in host.v1_mounts().items():
        wanted = tuple(name for name in controllers if name not in unneeded)
        if wanted:
            _create_leaf(group, mount, parts, wanted)


def _create_leaf(group: Cgroup, mount: Path, parts: tuple[str, ...], controllers: tuple[str, ...]) -> None:
    with _tolerated():
        leaf = v1.create(mount, parts, controllers)
        group.own += (leaf,)
        group.leaves |= dict.fromkeys(controllers, leaf)


@contextlib.contextmanager
def _tolerated() -> Iterator[None]:
    """Pass over a hierarchy that is read-only or not delegated; its limits are refused later, by key."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _NOT_OURS:
            raise CgroupError(f"cgroup {exc.filename}: cannot create: {exc.strerror}") from exc


def _filter_devices(
    group: Cgroup, host: Hierarchies, parts: tuple[str, ...], rules: Sequence[DeviceRule]
) -> None:
    """Restrict devices by a BPF program, or by v1's controller where that is refused.

    Raises CgroupError for root on a machine that can't; an ordinary user is held by file permissions anyway.
    """
    reason = "no control groups here that we may write"
    group_fd = group.leaf_fd()
    if group_fd is not None:
        try:
            attach(group_fd, rules)
        except OSError as exc:
            reason = exc.strerror or str(exc)
        else:
            return
    if "devices" in host.v1:
        _create_leaf(group, host.v1["devices"], parts, ("devices",))
        if "devices" in group.leaves:
            for name, line in v1_writes(rules):
                files.apply(group.leaves["devices"], {name: line})
            return
    if group_fd is not None and os.geteuid() == 0:
        raise CgroupError(
            f"cgroup {group.unified}: cannot restrict devices: {reason}",
            hint=f"privileged: true runs without; {DOCTOR}",
        )
    group.warnings += (f"devices are not restricted: {reason}",)
