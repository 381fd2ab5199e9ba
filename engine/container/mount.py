"""Carrying out the mounts of rootfs.py inside the child, every one on a descriptor.

A target is resolved once, inside the root, and what was resolved is what gets mounted on: no name is looked
up twice, so nothing that changes a shared volume meanwhile can lead a mount elsewhere (CVE-2021-30465).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from pycompose.engine.cgroups import files, hosts
from pycompose.engine.cgroups.group import Cgroup
from pycompose.engine.config import RootfsTree
from pycompose.engine.container import devices, rootfs
from pycompose.engine.container.child_error import MAP_IDS, MOUNT_SUBPATH, at
from pycompose.engine.linux import fs, idmap, mounts, namespaces, userns
from pycompose.engine.linux.libc import AT_FDCWD

_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def clone_sources(steps: Sequence[rootfs.Step]) -> dict[str, int]:
    """Return detached copies of what the binds of `steps` name on the host, by target.

    Called while the mount namespace still is the host's copy, with its propagation. Raises OSError.
    """
    sources: dict[str, int] = {}
    for step in steps:
        if isinstance(step, rootfs.Bind):
            at("mount", step.source)
            sources[step.target] = _clone_source(step)
    return sources


def _clone_source(bind: rootfs.Bind) -> int:
    if bind.create_source and not os.path.lexists(bind.source):
        os.makedirs(bind.source, 0o755, exist_ok=True)
    source = _overlay_source(bind) if bind.lowers else fs.open_host(bind.source)
    try:
        if bind.subpath:
            at(MOUNT_SUBPATH, bind.subpath)
            inner = fs.open_in_root(source, bind.subpath)
            os.close(source)
            source = inner
            at("mount", bind.source)
        tree = mounts.clone_tree(source, recursive=bind.submounts)
    finally:
        os.close(source)
    if bind.uid_map or bind.gid_map:
        at(MAP_IDS, bind.source)
        owner = idmap.user_namespace(bind.uid_map, bind.gid_map)
        mounts.map_ids(tree, owner, recursive=bind.submounts)
        os.close(owner)
        at("mount", bind.source)
    propagation, everywhere = rootfs.PROPAGATIONS[bind.propagation]
    mounts.set_attributes(tree, propagation=propagation, recursive=everywhere)
    if bind.attributes:
        mounts.set_attributes(tree, bind.attributes, recursive=bind.recursive)
    return tree


def _overlay_source(bind: rootfs.Bind) -> int:
    """Return an overlay of `bind.lowers`, attached at a place of its own in this namespace.

    (Only what is attached can be cloned from inside, for a subpath.) Upper and work are made in `bind.source`.
    """
    for name in ("upper", "work", "place"):
        os.makedirs(f"{bind.source}/{name}", 0o755, exist_ok=True)
    below = (*bind.lowers, f"{bind.source}/upper", f"{bind.source}/work", f"{bind.source}/place")
    *lowers, upper, work, place = [fs.open_host(path, _DIRECTORY) for path in below]
    try:
        overlay = mounts.overlay(lowers, upper, work, place)
        mounts.attach(overlay, place, bind.source)
        return overlay
    finally:
        for fd in (*lowers, upper, work, place):
            os.close(fd)


def mount_root(trees: Sequence[RootfsTree], base: Path, rw: Path, attach_at: Path) -> list[int]:
    """Mount the overlays of the rootfs and return their descriptors, that of `/` first.

    `base` is the lowest layer of `/`, `rw/N/{upper,work}` belong to tree N; `/` is attached at the empty directory
    `attach_at`, seen by this mount namespace only. Raises OSError.
    """
    mounted: list[int] = []
    for number, tree in enumerate(trees):
        at("mount overlay", tree.target)
        target = os.open(attach_at, _DIRECTORY | os.O_CLOEXEC)
        below = tree.lowers if number else (*tree.lowers, str(base))
        own = rw / str(number)
        fds = [fs.open_host(path, _DIRECTORY) for path in (*below, str(own / "upper"), str(own / "work"))]
        overlay = mounts.overlay(fds[:-2], fds[-2], fds[-1], target)
        if mounted:
            os.close(target)
            target = fs.make_directories(mounted[0], tree.target)
        mounts.attach(overlay, target, tree.target)
        mounted.append(overlay)
        for fd in (*fds, target):
            os.close(fd)
    return mounted


def mount_all(
    root_fd: int,
    steps: Sequence[rootfs.Step],
    sources: Mapping[str, int],
    nodes: Sequence[devices.DeviceNode],
    sysctls: Mapping[str, str],
) -> list[int]:
    """Attach everything of `steps` below `root_fd`; returns the mounts that become read-only at the end.

    `sources` are those of clone_sources, and the shared memory to join at its target. Raises OSError.
    """
    late: list[int] = []
    for step in steps:
        at("mount", step.target)
        if isinstance(step, rootfs.Filesystem):
            fd = _new_filesystem(root_fd, step, nodes, sysctls)
            if step.read_only:
                late.append(fd)
                continue
        else:
            fd = sources[step.target]
            if step.target == "/proc":
                write_sysctls(fd, sysctls)
            _attach_source(root_fd, fd, step.target)
        os.close(fd)
    for node in nodes:
        if not node.path.startswith("/dev/"):
            at("make device", node.path)
            devices.place(root_fd, node, fs.split(node.path))
    return late


def _new_filesystem(
    root_fd: int, step: rootfs.Filesystem, nodes: Sequence[devices.DeviceNode], sysctls: Mapping[str, str]
) -> int:
    """Make and attach one new filesystem, return its descriptor."""
    options = list(step.options)
    if step.strict:
        target = _real_directory(root_fd, step.target)
    else:
        target, mode = _directory_and_mode(root_fd, step.target)
        if mode and not any(key == "mode" for key, _value in options):
            options.append(("mode", f"{mode:o}"))
    mount = mounts.new_filesystem(step.fstype, options, step.attributes)
    own_nodes = (
        userns.is_initial()
    )  # else they are mounts, which only what is attached can hold before Linux 6.15
    if step.target == "/dev" and own_nodes:
        devices.fill_dev(mount, nodes)
    elif step.target == "/proc":
        write_sysctls(mount, sysctls)
    at("mount", step.target)
    mounts.attach(mount, target, step.target)
    os.close(target)
    if step.target == "/dev" and not own_nodes:
        devices.fill_dev(mount, nodes)
    if step.propagation not in ("private", "rprivate"):  # a new mount is
        mounts.set_attributes(mount, propagation=rootfs.PROPAGATIONS[step.propagation][0])
    return mount


def _real_directory(root_fd: int, path: str) -> int:
    """Return the directory `path`, made if missing; a symbolic link on the way is an error (ELOOP)."""
    for _ in range(2):
        try:
            return fs.open_in_root(root_fd, path, _DIRECTORY, extra=fs.RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            os.close(fs.make_directories(root_fd, path))
    raise OSError(errno.ENOENT, "cannot be made", path)


def _directory_and_mode(root_fd: int, path: str) -> tuple[int, int]:
    """Return the directory `path` and, where the image has it, its permissions, else 0."""
    try:
        fd = fs.open_in_root(root_fd, path, _DIRECTORY)
    except FileNotFoundError:
        return fs.make_directories(root_fd, path), 0
    return fd, stat.S_IMODE(os.fstat(fd).st_mode)


def _attach_source(root_fd: int, mount_fd: int, path: str) -> None:
    """Attach a bind at `path`, where a directory or an empty file is made if nothing is."""
    make = fs.make_directories if stat.S_ISDIR(os.fstat(mount_fd).st_mode) else fs.make_file
    target = make(root_fd, path)
    try:
        mounts.attach(mount_fd, target, path)
    finally:
        os.close(target)


def write_sysctls(proc_fd: int, sysctls: Mapping[str, str]) -> None:
    """Write kernel parameters, paths below /proc/sys, through a procfs that is ours alone and attached nowhere.

    (CVE-2025-52881)
    """
    for path, value in sysctls.items():
        at("set sysctl", path)
        flags = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS | fs.RESOLVE_NO_XDEV
        fd = fs.openat2(proc_fd, f"sys/{path}", os.O_WRONLY, resolve=flags)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def own_hierarchies(container_id: str) -> list[str]:
    """Return the controllers ("cpu,cpuacct", "name=systemd", "" for v2) of hierarchies with a group of ours.

    The others would show the host's groups. Called before the cgroup namespace changes what the paths say.
    """
    entries = [line.split(":", 2) for line in files.read(Path("/proc/self"), "cgroup").splitlines()]
    return [names for _number, names, path in entries if container_id in path.split("/")]


def own_groups(hierarchies: Sequence[str], group: Cgroup) -> dict[str, int]:
    """Return detached copies of our groups, by the names of their hierarchies, for `cgroup: host`; raises OSError.

    There a mount shows all of the machine's groups, and a program that reads its limits would find none. With v2 alone
    programs know where to look in all of them: a mount is made of it, and by an ordinary user, to whom the kernel gives
    none of groups that aren't all his, copied.
    """
    if list(hierarchies) == [""]:
        unified = None if userns.is_initial() else hosts.detect().unified
        return {"": mounts.clone_tree(AT_FDCWD, str(unified), recursive=True)} if unified else {}
    groups = {
        names: group.leaves.get(names.split(",")[0]) if names else group.inside for names in hierarchies
    }
    return {names: mounts.clone_tree(AT_FDCWD, str(path)) for names, path in groups.items() if path}


def mount_cgroups(
    root_fd: int, hierarchies: Sequence[str], groups: Mapping[str, int], *, read_only: bool
) -> None:
    """Mount `hierarchies` at /sys/fs/cgroup, as the container's cgroup namespace shows them.

    cgroup2 alone where that is all the machine has; else a tmpfs with one directory per v1 hierarchy and
    links for those with several names, as runc does. What is in `groups` is mounted instead. Raises OSError.
    """
    place = "/sys/fs/cgroup"
    at("mount", place)
    attributes = rootfs.QUIET | (mounts.MOUNT_ATTR_RDONLY if read_only else 0)
    try:
        target = fs.open_in_root(root_fd, place, _DIRECTORY, extra=fs.RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        return
    if list(hierarchies) == [""]:
        tree = _tree("", groups, attributes)
        mounts.attach(tree, target, place)
        os.close(tree)
        os.close(target)
        return
    top = mounts.new_filesystem("tmpfs", (("mode", "755"), ("size", "1m")), rootfs.QUIET)
    for names in hierarchies:
        os.mkdir((names or "unified").removeprefix("name="), 0o755, dir_fd=top)
        for name in names.split(",") if "," in names else ():
            os.symlink(names, name, dir_fd=top)
    mounts.attach(top, target, place)
    for names in hierarchies:
        name = (names or "unified").removeprefix("name=")
        at("mount", f"{place}/{name}")
        mount = _tree(names, groups, attributes)
        inner = os.open(name, _DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        mounts.attach(mount, inner, f"{place}/{name}")
        os.close(inner)
        os.close(mount)
    if read_only:
        mounts.set_attributes(top, mounts.MOUNT_ATTR_RDONLY)
    os.close(top)
    os.close(target)


def _tree(names: str, groups: Mapping[str, int], attributes: int) -> int:
    """Return what is in `groups`, else a mount of the hierarchy. Raises OSError."""
    if names not in groups:
        return _hierarchy(names, attributes)
    mounts.set_attributes(groups[names], attributes, recursive=True)
    return groups[names]


def _hierarchy(names: str, attributes: int) -> int:
    """Return a detached mount of the hierarchy with the controllers `names`, of cgroup2 for "". Raises OSError."""
    if not names:
        return mounts.new_filesystem("cgroup2", (), attributes)
    if names.startswith("name="):
        return mounts.new_filesystem(
            "cgroup", (("none", None), ("name", names.removeprefix("name="))), attributes
        )
    return mounts.new_filesystem("cgroup", [(name, None) for name in names.split(",")], attributes)


def protect(root_fd: int, masked: Sequence[str], read_only: Sequence[str]) -> None:
    """Make `read_only` paths read-only and `masked` ones empty; missing ones are fine. Raises OSError."""
    for path in read_only:
        at("mount read-only", path)
        fd = _existing(root_fd, path)
        if fd is not None:
            tree = mounts.clone_tree(fd, recursive=True)
            mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, recursive=True)
            _attach_over(tree, fd, path)
    if not masked:
        return
    null = null_device(root_fd, os.O_PATH)
    # One empty tmpfs for all of them: a superblock each would cost more than everything else here.
    empty = -1
    for path in masked:
        at("mount mask", path)
        fd = _existing(root_fd, path)
        if fd is None:
            continue
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            _attach_over(mounts.clone_tree(null), fd, path)
        elif empty < 0:
            options = (("nr_blocks", "1"), ("nr_inodes", "2"), ("mode", "755"))
            empty = mounts.new_filesystem("tmpfs", options, rootfs.QUIET | mounts.MOUNT_ATTR_RDONLY)
            mounts.attach(empty, fd, path)
            os.close(fd)
        else:
            _attach_over(mounts.clone_tree(empty), fd, path)
    for fd in (null, empty):
        if fd >= 0:
            os.close(fd)


def null_device(root_fd: int, flags: int) -> int:
    """Return the container's /dev/null, opened; raises OSError if anything else is there (CVE-2025-31133)."""
    at("open", "/dev/null")
    fd = fs.open_in_root(root_fd, "/dev/null", flags, extra=fs.RESOLVE_NO_SYMLINKS)
    info = os.fstat(fd)
    if not stat.S_ISCHR(info.st_mode) or info.st_rdev != devices.NULL:
        os.close(fd)
        raise OSError(errno.ENODEV, "not the null device", "/dev/null")
    return fd


def _existing(root_fd: int, path: str) -> int | None:
    try:
        return fs.open_in_root(root_fd, path, extra=fs.RESOLVE_NO_SYMLINKS)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _attach_over(mount_fd: int, target_fd: int, path: str) -> None:
    mounts.attach(mount_fd, target_fd, path)
    os.close(mount_fd)
    os.close(target_fd)


def pivot(root_fd: int) -> None:
    """Make `root_fd` the root and let go of the old one, which nothing in here can reach any more.

    pivot_root(".", ".") stacks the old root on the new one, so the image needs no directory for it. There is
    no way back to chroot or MS_MOVE when it fails: both could be left again.

    Where pycompose itself runs in a chroot, that would only replace the chroot's mount, and whoever enters the
    namespace by setns(2), as `exec` does, would find the machine's root. Entering it here first leaves the chroot.
    """
    at("pivot_root")
    own = namespaces.open_namespace("self", "mnt")
    namespaces.setns(own, namespaces.CLONE_NEWNS)
    os.close(own)
    old = os.open("/", _DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root_fd)
    mounts.pivot_root(".", ".")
    os.fchdir(old)
    os.close(old)
    mounts.set_propagation(".", mounts.MS_SLAVE | mounts.MS_REC)
    mounts.umount(".")
    os.chdir("/")
