"""Asking the kernel: system calls, namespaces, filters, control groups, limits."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.doctor.attempts import attempt, attempts
from pycompose.doctor.facts import Groups, Isolation, Kernel, LimitFacts, Walls
from pycompose.engine.apparmor import default_profile
from pycompose.engine.cgroups import devices
from pycompose.engine.cgroups.hosts import detect
from pycompose.engine.keeper.spawn import can_be_born_in
from pycompose.engine.linux import bpf, landlock, libc, mounts, namespaces, process
from pycompose.engine.machine import has_apparmor, machine_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.doctor.facts import Reason
    from pycompose.engine.cgroups.hosts import Hierarchies

# Arguments that each call refuses, after it has been found: it does nothing.
_CALLS: dict[str, tuple[object, ...]] = {
    "clone3": (None, 0),
    "close_range": (1, 0, 0),
    "fsopen": (None, 0xFFFF),
    "mount_setattr": (-1, None, 0, None, 0),
    "move_mount": (-1, None, -1, None, 0xFFFFFF),
    "open_tree": (-1, None, 0xFFFFFF),
    "openat2": (-1, None, None, 0),
}
_SECCOMP_GET_ACTION_AVAIL, _SECCOMP_RET_ERRNO = 2, 0x00050000
_USER_SYSCTLS = (
    "user.max_user_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
)
_LIMITS = (
    "fs.file-max",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.mount-max",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.ipv4.ip_unprivileged_port_start",
    "user.max_mnt_namespaces",
    "user.max_net_namespaces",
)
_EXIT_CODE = 7


def kernel(*, root: bool) -> Kernel:
    """Return what this kernel knows."""
    calls = {name: _asked(name, arguments, root=root) for name, arguments in _CALLS.items()}
    calls["pidfd_open"] = attempt(lambda: os.close(os.pidfd_open(os.getpid())))
    version = 0
    with contextlib.suppress(OSError):  # a filter of somebody's
        version = landlock.abi()
    return Kernel(
        release=os.uname().release,
        machine=machine_name(),
        calls=dict(sorted(calls.items())),
        landlock=version,
        exit_by_pidfd=attempt(_read_exit_of_other),
    )


def _asked(name: str, arguments: tuple[object, ...], *, root: bool) -> Reason:
    try:
        libc.syscall(name, *arguments)
    except OSError as exc:
        if exc.errno == errno.ENOSYS:
            return "this kernel has no such call"
        if exc.errno in (errno.EPERM, errno.EACCES):
            return "forbidden" if root else None
    return ""


def _read_exit_of_other() -> None:
    """Raise OSError when the exit code of a reaped process can't be read from its pidfd."""
    pid = os.fork()
    if pid == 0:
        os._exit(_EXIT_CODE)
    pidfd = os.pidfd_open(pid)
    try:
        os.waitpid(pid, 0)
        if process.exit_code_of_other(pidfd) != _EXIT_CODE:
            raise OSError(errno.ENOTTY, "this kernel doesn't tell")
    finally:
        os.close(pidfd)


def isolation(*, root: bool) -> Isolation:
    """Return which namespaces can be made; an ordinary user's ones are made inside a user namespace."""
    kinds = {kind: flag for kind, flag in namespaces.KINDS.items() if kind != "user"}
    mapped = partial(_map_one_user, os.geteuid(), os.getegid())
    user = attempts(namespaces.CLONE_NEWUSER, {"map": mapped, "mount": _mount_something})
    tried: dict[str, Reason] = {}
    for kind, flag in kinds.items():
        if root:
            tried |= attempts(flag, {kind: os.getpid})
        else:
            inside = attempts(namespaces.CLONE_NEWUSER | flag, {kind: os.getpid})
            tried[kind] = inside[kind] or ""
    return Isolation(
        namespaces=tried,
        user=next(filter(None, user.values()), ""),
        sysctls={name: value for name in _USER_SYSCTLS if (value := _sysctl(name))},
    )


def _map_one_user(uid: int, gid: int) -> None:
    """Become root of the new user namespace: AppArmor lets it be made, but forbids this."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _mount_something() -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    os.close(mounts.new_filesystem("tmpfs"))


def walls() -> Walls:
    """Return what filters and security modules there are."""
    action = ctypes.c_uint32(_SECCOMP_RET_ERRNO)
    asked = attempt(lambda: libc.syscall("seccomp", _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)))
    enforce = _read("/sys/fs/selinux/enforce")
    return Walls(
        seccomp=asked,
        apparmor=has_apparmor(),
        profiles=bool(default_profile()),
        selinux={"1": "enforcing", "0": "permissive"}.get(enforce, ""),
    )


def groups(*, root: bool) -> Groups:
    """Return what control groups there are for us."""
    host = detect()
    own = _own_group(host.unified)
    place = host.unified if root else _delegated(host.unified, own)
    controllers = (
        {"io" if name == "blkio" else name for name in host.v1 if "=" not in name} if root else set()
    )
    if place:
        controllers |= set(_read(place / "cgroup.controllers").split())
    some = next(_children(host.unified), None) if host.unified else None
    swap = None if some is None else (some / "memory.swap.max").exists()
    if "memory" in host.v1:
        swap = (host.v1["memory"] / "memory.memsw.limit_in_bytes").exists()
    return Groups(
        kind=host.kind.value,
        controllers=frozenset(controllers),
        unwritable=_unwritable(host),
        swap=swap,
        device_filter=attempt(_load_device_filter) if root and host.unified else None,
        birth=_born(own) if root and own else None,
    )


def _own_group(unified: Path | None) -> Path | None:
    """Return the cgroup2 directory that this process is in."""
    for line in _read("/proc/self/cgroup").splitlines():
        if unified and line.startswith("0::/"):
            found = unified / line[len("0::/") :]
            return found if found.is_dir() else None
    return None


def _delegated(unified: Path | None, own: Path | None) -> Path | None:
    """Return the topmost group above ours that belongs to this user."""
    found = None
    while unified and own and own != unified and own.stat().st_uid == os.geteuid():
        found, own = own, own.parent
    return found


def _children(group: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (Path(entry) for entry in os.scandir(group) if entry.is_dir(follow_symlinks=False))


def _unwritable(host: Hierarchies) -> tuple[str, ...]:
    """Return the mount points of control groups that are read-only, or not ours to write."""
    used = {*host.v1.values(), *([host.unified] if host.unified else [])}
    closed = {str(mount) for mount in used if not os.access(mount, os.W_OK)}
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if after.startswith("cgroup") and len(fields) > 5 and "ro" in fields[5].split(","):
            closed.add(fields[4])
    return tuple(sorted(closed))


def _load_device_filter() -> None:
    os.close(bpf.load_device_program(devices.program(devices.DEFAULT_RULES)))


def _born(own: Path) -> str:
    fd = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return "" if can_be_born_in(fd) else "this kernel can't, or gets it wrong"
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    finally:
        os.close(fd)


def limits() -> LimitFacts:
    """Return what this machine has room for."""
    values = {name: int(text) for name in _LIMITS if (text := _sysctl(name)).isdigit()}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY:
        values["nofile"] = hard
    if bounds := list(_pids_bounds(detect())):
        values["pids.max"] = min(bounds)
    return LimitFacts(values=values)


def _pids_bounds(host: Hierarchies) -> Iterator[int]:
    """Yield pids.max of this process's groups and those above them."""
    for line in _read("/proc/self/cgroup").splitlines():
        _number, names, path = line.split(":", 2)
        mount = host.unified if not names else host.v1.get("pids") if "pids" in names.split(",") else None
        if mount is None:
            continue
        group = mount / path.lstrip("/")
        while group != mount:
            if (text := _read(group / "pids.max")).isdigit():
                yield int(text)
            group = group.parent


def _sysctl(name: str) -> str:
    return _read("/proc/sys/" + name.replace(".", "/"))


def _read(path: str | Path) -> str:
    """Return the text of a small file, "" when it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
