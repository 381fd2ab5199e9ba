"""Where a container's writable layer lies: with its state, or in memory where that file system can't hold it.

An overlay, most network file systems and vfat can't be the upper file system of an overlay: the kernel refuses the
mount. That is so inside containers, as many CI jobs are, and on live systems. There the layers of all containers, and
of the steps of builds, lie in a tmpfs of half of the memory at RUN/layers; `containers/ID/rw` is a link to the
container's own directory, which is removed with the container, and the tmpfs with the last one. A reboot takes it all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from functools import cache
from typing import TYPE_CHECKING

from pycompose.engine.container.layers import make_uppers
from pycompose.engine.linux import mounts, namespaces
from pycompose.engine.linux.libc import call
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.engine.config import RootfsTree
    from pycompose.engine.paths import StatePaths

SIZE = "50%"
# Magic numbers (statfs(2), linux/magic.h) of what may refuse to hold an upper directory. Others hold it.
SUSPECTS = {
    0x794C7630: "overlay", 0x61756673: "aufs", 0x6969: "nfs", 0xFF534D42: "cifs", 0xFE534D42: "smb3", 0x01021997: "9p",
    0x65735546: "fuse", 0x4D44: "vfat", 0x2011BAB0: "exfat", 0xF15F: "ecryptfs",
}  # fmt: skip
_STATFS_BYTES = 256


def memory_uppers(paths: StatePaths, name: str) -> Path:
    """Return a new directory in the tmpfs of layers; `remove_uppers` removes it. Raises EngineError, OSError."""
    with locked(make_directory(paths.run)):
        return make_directory(_mounted(paths.layers) / name)


def move_uppers(rw: Path, target: Path) -> None:
    """Move what `container_uppers` has made to `target`, on the same file system as that. Raises OSError."""
    if rw.is_symlink():
        os.rename(rw.readlink(), target)
        rw.unlink()
    else:
        os.rename(rw, target)


def container_uppers(paths: StatePaths, container_id: str, trees: Sequence[RootfsTree]) -> Path:
    """Make what is missing of a container's writable layers; return their directory. Raises EngineError, OSError."""
    directory = paths.container(container_id)
    rw = directory / "rw"
    linked = rw.is_symlink()
    if linked or (not rw.exists() and refusing(str(paths.root))):
        own = memory_uppers(paths, container_id)
        if not linked:
            rw.symlink_to(own)
    return make_uppers(directory, trees)


def warnings(paths: StatePaths, container_id: str) -> tuple[str, ...]:
    """Return what there is to say of where a container's layers lie."""
    if not (paths.container(container_id) / "rw").is_symlink():
        return ()
    kind = refusing(str(paths.root)) or "file system"
    where = f"in memory ({paths.layers}, {SIZE} of it at most)"
    why = f"the {kind} of {paths.root} can't hold it; PYCOMPOSE_ROOT names another place"
    return (f"what it writes outside of volumes lies {where}: {why}",)


def remove_uppers(paths: StatePaths, container_id: str) -> None:
    """Remove a container's layers where they lie elsewhere, and the tmpfs with the last ones; idempotent.

    Raises OSError.
    """
    layers = paths.layers
    if not layers.exists():
        return
    from pycompose.engine.linux.trees import remove_tree  # noqa: PLC0415 - hardly any machine needs it

    with contextlib.suppress(FileNotFoundError):
        remove_tree(layers / container_id)
    with locked(paths.run):
        if os.path.ismount(layers) and not os.listdir(layers):
            mounts.umount(str(layers))
        with contextlib.suppress(OSError):
            layers.rmdir()


@cache
def refusing(root: str) -> str:
    """Return the name of the file system of `root` if it can't hold upper directories, "" if it can. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    call("statfs", root, buffer, path=root)
    kind = SUSPECTS.get(int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_uint32)], "little"), "")
    return kind if kind and not _holds(root) else ""


def _holds(root: str) -> bool:
    """Try it, in a mount namespace of a process that ends."""
    import shutil  # noqa: PLC0415 - hardly any machine needs it

    scratch = f"{root}/.upper-{os.getpid()}"
    names = ("lower", "upper", "work", "merged")
    try:
        for name in names:
            os.makedirs(f"{scratch}/{name}", exist_ok=True)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                namespaces.unshare(namespaces.CLONE_NEWNS)
                mounts.set_propagation("/", mounts.MS_PRIVATE | mounts.MS_REC)
                lower, *rest = (os.open(f"{scratch}/{name}", os.O_PATH | os.O_DIRECTORY) for name in names)
                mounts.overlay([lower], *rest)
                os._exit(0)
            os._exit(1)
        return os.waitpid(pid, 0)[1] == 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _mounted(layers: Path) -> Path:
    """Return the directory of the layers with its tmpfs on it; the caller holds the lock. Raises OSError."""
    make_directory(layers)
    if not os.path.ismount(layers):
        tmpfs = mounts.new_filesystem("tmpfs", [("size", SIZE), ("mode", "0700")])
        place = os.open(layers, os.O_PATH | os.O_DIRECTORY)
        try:
            mounts.attach(tmpfs, place, str(layers))
        finally:
            os.close(place)
            os.close(tmpfs)
    return layers
