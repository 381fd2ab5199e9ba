"""Device nodes of a container: the six that every program expects, and those the user asked for."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator

from pycompose.engine.config import Device
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import EngineError
from pycompose.engine.linux import mounts, userns
from pycompose.engine.linux.fs import make_directories, split
from pycompose.engine.linux.libc import AT_FDCWD

NULL = os.makedev(1, 3)
PTMX = os.makedev(5, 2)
SYMLINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
# Directories of the host's /dev that are mounts or links of the host alone.
_HOST_ONLY = frozenset(
    {"pts", "ptmx", "shm", "mqueue", "hugepages", "fd", "console", "log", ".lxc", ".lxd-mounts"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """One node: `path` in the container, type and permissions in `mode`, numbers in `device`.

    `source` is where the machine has it.
    """

    path: str
    source: str = ""
    mode: int
    device: int
    uid: int = 0
    gid: int = 0


DEFAULT_NODES = tuple(
    DeviceNode(
        path=f"/dev/{name}", source=f"/dev/{name}", mode=stat.S_IFCHR | 0o666, device=os.makedev(major, minor)
    )
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)


def host_nodes(devices: Iterable[Device]) -> list[DeviceNode]:
    """Return the nodes of `devices:`, with the type, numbers, permissions and owner they have on the host.

    A directory (`/dev/snd`) stands for every device in it. Raises EngineError for what isn't a device.
    """
    nodes: list[DeviceNode] = []
    for device in devices:
        place = "/" + "/".join(split(device.target))
        if device.kind:
            nodes.append(_numbered(place, device))
            continue
        try:
            info = os.stat(device.source)
            if stat.S_ISDIR(info.st_mode):
                nodes += _directory(device.source, device.target)
                continue
        except OSError as exc:
            raise EngineError(f"device {device.source}: cannot use: {exc.strerror}") from exc
        if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
            raise EngineError(f"device {device.source}: cannot use: not a device node")
        nodes.append(_as_wanted(_node(place, device.source, info), device))
    return nodes


def _numbered(place: str, device: Device) -> DeviceNode:
    kind = stat.S_IFBLK if device.kind == "b" else stat.S_IFCHR
    return _as_wanted(
        DeviceNode(
            path=place, source=device.source, mode=kind | 0o666, device=os.makedev(device.major, device.minor)
        ),
        device,
    )


def _as_wanted(node: DeviceNode, device: Device) -> DeviceNode:
    """Return the node with the permissions and the owner that `device` names."""
    mode = node.mode if device.mode is None else stat.S_IFMT(node.mode) | device.mode
    uid = node.uid if device.uid is None else device.uid
    gid = node.gid if device.gid is None else device.gid
    return replace(node, mode=mode, uid=uid, gid=gid)


def all_host_nodes() -> list[DeviceNode]:
    """Return every device of the host's /dev: what `privileged: true` gets."""
    return list(_directory("/dev", "/dev"))


def _directory(source: str, target: str) -> Iterator[DeviceNode]:
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if entry.is_symlink() or (source == "/dev" and entry.name in _HOST_ONLY):
            continue
        place = f"{target.rstrip('/')}/{entry.name}"
        info = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            yield from _directory(entry.path, place)
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            yield _node(place, entry.path, info)


def _node(path: str, source: str, info: os.stat_result) -> DeviceNode:
    return DeviceNode(
        path=path,
        source=source,
        mode=info.st_mode,
        device=info.st_rdev,
        uid=info.st_uid,
        gid=info.st_gid,
    )


def make_node(dir_fd: int, name: str, node: DeviceNode) -> None:
    """Create `node` as `name` in the directory `dir_fd`, exactly so and no symlink; raises OSError.

    The same node of an earlier run is fine, anything else that is there is an error. In a user namespace it is a bind
    of the machine's, with the permissions and the owner that it has there.
    """
    if not userns.is_initial():
        _bind_node(dir_fd, name, node)
        return
    with contextlib.suppress(FileExistsError):
        os.mknod(name, node.mode, node.device, dir_fd=dir_fd)
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        info = os.fstat(fd)
        if stat.S_IFMT(info.st_mode) != stat.S_IFMT(node.mode) or info.st_rdev != node.device:
            raise OSError(errno.EEXIST, "something else is there", node.path)
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(node.mode))
        if node.uid or node.gid:
            os.chown(f"/proc/self/fd/{fd}", node.uid, node.gid)
    finally:
        os.close(fd)


def _bind_node(dir_fd: int, name: str, node: DeviceNode) -> None:
    """Bind the machine's node on an empty file; raises OSError, ENODEV when something else is there by now."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=dir_fd))
    tree = mounts.clone_tree(AT_FDCWD, node.source or node.path)
    target = -1
    try:
        info = os.fstat(tree)
        if stat.S_IFMT(info.st_mode) != stat.S_IFMT(node.mode) or info.st_rdev != node.device:
            raise OSError(errno.ENODEV, "not that device", node.source)
        target = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        if not stat.S_ISREG(os.fstat(target).st_mode):
            raise OSError(errno.EEXIST, "something else is there", node.path)
        mounts.attach(tree, target, node.path)
    finally:
        for fd in (tree, target):
            if fd >= 0:
                os.close(fd)


def fill_dev(dev_fd: int, nodes: Iterable[DeviceNode]) -> None:
    """Put the default nodes, the usual links and those of `nodes` that belong in /dev into the empty tmpfs.

    No name of the image is ever followed (CVE-2026-41579): the tmpfs isn't attached anywhere yet. In a user namespace,
    where nodes are mounts, it is, and has nothing in it but what is made here.
    """
    for name in ("pts", "mqueue", "shm"):
        os.mkdir(name, 0o755, dir_fd=dev_fd)
    for name, target in SYMLINKS:
        os.symlink(target, name, dir_fd=dev_fd)
    if os.path.exists("/proc/kcore"):
        os.symlink("/proc/kcore", "core", dir_fd=dev_fd)
    make = _make_default if userns.is_initial() else _bind_node
    wanted = {node.path: node for node in nodes if node.path.startswith("/dev/")}
    for node in DEFAULT_NODES:
        if node.path not in wanted:  # into an empty directory, by a process without an umask: as it is to be
            make(dev_fd, node.path.removeprefix("/dev/"), node)
    for node in wanted.values():
        place(dev_fd, node, split(node.path)[1:])


def _make_default(dir_fd: int, name: str, node: DeviceNode) -> None:
    os.mknod(name, node.mode, node.device, dir_fd=dir_fd)


def place(root_fd: int, node: DeviceNode, parts: list[str]) -> None:
    """Create `node` at `parts` below `root_fd`, with the directories on the way; raises OSError."""
    parent = make_directories(root_fd, "/".join(parts[:-1]) or "/")
    try:
        make_node(parent, parts[-1], node)
    finally:
        os.close(parent)
