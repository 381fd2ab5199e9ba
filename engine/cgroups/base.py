"""Making and finding the control group of a container, whatever this machine has: v2, v1, or both.

```
MOUNT/<StatePaths.cgroup_parent>/[<cgroup_parent:>/]<container id>/     limits, devices
                                                     └─ inside/         the processes, and the limits once more
                                                        └─ exec-<id>/   one exec or probe, to be killed alone
```
Every v1 hierarchy that is mounted has a directory with the same path; there is no `inside` where there are no limits
that hold for groups below. What a container can mount of control groups ends at the group that its processes are in:
it reads its limits there, and what it writes there doesn't lift those above. In a hierarchy without a group of its own
it would get at the machine's. Only groups that we made are written to, but for `cgroup.subtree_control` of their
ancestors.
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import lru_cache
from typing import TYPE_CHECKING

from pycompose.engine.cgroups import files, lost, v1, v2
from pycompose.engine.cgroups.devices import attach, rules_for, v1_writes
from pycompose.engine.cgroups.group import LIMITED, Cgroup, write_limits
from pycompose.engine.cgroups.hosts import Hierarchies, Kind, detect
from pycompose.engine.cgroups.limits import ignored_on_v2
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import CgroupError, doctor_row
from pycompose.engine.linux import userns
from pycompose.engine.linux.fs import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pycompose.engine.cgroups.devices import DeviceRule
    from pycompose.engine.config import Device, Limits
    from pycompose.engine.paths import StatePaths

__all__ = ["Cgroup", "Kind", "create", "detect", "open_existing", "place_of"]

_SYSTEMD = "/run/systemd/system"  # sd_booted(3)
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
    host, place = detect(), place_of(paths, container_id, parent)
    rules = () if privileged else rules_for(devices, device_rules)
    group = Cgroup(unified=None, leaves={}, own=(), parents=_parents(host, place))
    try:
        _create_directories(group, host, place)
        write_limits(group, limits)
        if "memory" not in group.leaves:
            group.warnings += tuple(f"{key} has no effect on cgroup v2" for key in ignored_on_v2(limits))
        if not userns.is_initial():
            if parent and group.unified is None:
                group.warnings += (lost.parent(parent),)
            if not privileged:
                group.warnings += tuple(lost.filters(devices, device_rules))
        elif rules:
            _filter_devices(group, rules)
    except BaseException:
        with contextlib.suppress(CgroupError):
            group.remove()
        raise
    return group


def open_existing(paths: StatePaths, container_id: str, *, parent: str = "") -> Cgroup:
    """Return the group that `create` made, by what of it exists; maybe nothing."""
    host, place = detect(), place_of(paths, container_id, parent)
    unified = host.unified.joinpath(*place.parts) if host.unified else None
    if unified and not os.path.isdir(unified):  # another user's can't be looked at
        unified = None
    leaves: dict[str, Path] = {}
    walls: dict[str, Path] = {}
    own = [unified] if unified else []
    for mount, controllers in host.v1_mounts().items():
        wall = mount.joinpath(*place.parts)
        if os.path.isdir(wall):
            own.append(wall)
            leaf = _inside(wall)
            leaves |= dict.fromkeys(controllers, leaf)
            if leaf != wall:
                walls |= dict.fromkeys(controllers, wall)
    return Cgroup(
        unified=unified,
        inside=_inside(unified) if unified else None,
        leaves=leaves,
        walls=walls,
        own=tuple(own),
        parents=_parents(host, place),
    )


def _inside(group: Path) -> Path:
    """Return where the processes of `group` are; older versions had them in the group itself."""
    inside = group / files.INSIDE
    return inside if os.path.isdir(inside) else group


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The components of a container's group below each mount; the first `kept` are somebody else's.

    The other parents are made and removed by us; outside our own root, which `ours` tells, only those that we made.
    """

    parts: tuple[str, ...]
    kept: int
    ours: bool


def place_of(paths: StatePaths, container_id: str, parent: str = "") -> Place:
    """Return where the group of a container goes; raises CgroupError for a bad `parent`.

    A relative parent is below our own root, an absolute one where it says, as in Docker. On machines with systemd
    `a-b.slice` is the slice of that name (systemd.slice(5)).
    """
    root = split(paths.cgroup_parent)
    if ".." in parent.split("/"):
        raise CgroupError(f"cgroup_parent: cannot use {parent}: it has ..")
    if parent.endswith(".slice") and "/" not in parent and os.path.isdir(_SYSTEMD):
        parent = slice_path(parent)
        _require_slice(parent)
    if parent.startswith("/") and split(parent)[: len(root)] != root:
        return Place(parts=(*split(parent), container_id), kept=0, ours=False)
    inner = split(parent)[len(root) :] if parent.startswith("/") else split(parent)
    # A root of several components was delegated to us by somebody, who keeps it.
    return Place(parts=(*root, *inner, container_id), kept=len(root) if len(root) > 1 else 0, ours=True)


def slice_path(name: str) -> str:
    """Return where systemd has the slice: `a-b.slice` is in `a.slice`; raises CgroupError for no name of one."""
    words = name.removesuffix(".slice").split("-")
    if name == "-.slice":
        return "/"
    if not all(words):
        raise CgroupError(
            f"cgroup_parent: cannot use {name}: no name of a slice", hint="see systemd.slice(5)"
        )
    return "/" + "/".join("-".join(words[:count]) + ".slice" for count in range(1, len(words) + 1))


def _require_slice(path: str) -> None:
    """Raise CgroupError where systemd hasn't started the slice: it would remove what we make in its place."""
    host = detect()
    mounts = [mount for mount in (host.unified, host.v1.get("name=systemd")) if mount]
    if not any(os.path.isdir(f"{mount}{path}") for mount in mounts):
        name = path.rpartition("/")[2]
        raise CgroupError(
            f"cgroup_parent: cannot use {name}: systemd has no such slice started",
            hint=f"systemctl start {name}",
        )


def _parents(host: Hierarchies, place: Place) -> tuple[tuple[Path, bool], ...]:
    """Return the parents to remove with their last child, deepest first, and whether they are in our own root."""
    mounts = (*([host.unified] if host.unified else []), *host.v1_mounts())
    return _parents_below(mounts, place.parts[:-1], place.kept, place.ours)


@lru_cache(maxsize=16)  # a project's containers have the same
def _parents_below(
    mounts: tuple[Path, ...],
    parts: tuple[str, ...],
    kept: int,
    ours: bool,  # noqa: FBT001 - a key
) -> tuple[tuple[Path, bool], ...]:
    depths = range(len(parts), kept, -1)
    return tuple((mount.joinpath(*parts[:n]), ours) for mount in mounts for n in depths)


def _create_directories(group: Cgroup, host: Hierarchies, place: Place) -> None:
    """Make the cgroup2 directory and one per v1 mount; pass over what isn't ours to write."""
    if host.unified:
        with _tolerated(host.unified):
            group.unified, limited = v2.create(host.unified, place.parts, ours=place.ours)
            group.own += (group.unified,)
            group.inside = v2.create_inside(group.unified) if limited else group.unified
    for mount, controllers in host.v1_mounts().items():
        with _tolerated(mount):
            wall = leaf = v1.create(mount, place.parts, controllers, ours=place.ours)
            group.own += (wall,)
            if not LIMITED.isdisjoint(controllers):
                leaf = v1.create_inside(wall, controllers)
                group.walls |= dict.fromkeys(controllers, wall)
            group.leaves |= dict.fromkeys(controllers, leaf)


@contextlib.contextmanager
def _tolerated(mount: Path) -> Iterator[None]:
    """Pass over a hierarchy that is read-only or not delegated; its limits are refused later, by key."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in _NOT_OURS:
            raise CgroupError(f"cgroup {exc.filename or mount}: cannot create: {exc.strerror}") from exc


def _filter_devices(group: Cgroup, rules: Sequence[DeviceRule]) -> None:
    """Restrict devices by a BPF program, or by v1's controller where that is refused.

    Raises CgroupError for root on a machine that can't. A user namespace has no BPF for that, and needs none: its root
    makes no device nodes, and opens those that are bound into a container with the rights of an ordinary user.
    """
    reason = "no control groups here that we may write"
    if group.unified:
        fd = files.open_file(group.unified, ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            attach(fd, rules)
        except OSError as exc:
            reason = exc.strerror or str(exc)
        else:
            return
        finally:
            os.close(fd)
    if "devices" in group.leaves:
        for name, line in v1_writes(rules):
            files.apply(group.leaves["devices"], {name: line})
        return
    if group.unified and os.geteuid() == 0:
        raise CgroupError(
            f"cgroup {group.unified}: cannot restrict devices: {reason}",
            hint=f"privileged: true runs without; {doctor_row('device filter')}",
        )
    group.warnings += (f"devices are not restricted: {reason}",)
