"""The layers that we add to an image's: on top the writable one, at the bottom what every container has.

`rw/N/{upper,work}` belong to a container, one for each overlay of its root file system. The base is one for all: the
places where things get mounted, and the marks by which programs know that they are in a container. Images that have
them lie over it. Made in each container's own layer, as they would be otherwise, they cost a fifth of its start.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pycompose.engine.config import RootfsTree
from pycompose.engine.errors import EngineError
from pycompose.engine.statedirs import make_directory

# The last one is made last: where it is, the base is complete.
_BASE_FILES = (
    ("etc/hostname", 0o644),
    ("etc/hosts", 0o644),
    ("etc/resolv.conf", 0o644),
    (".dockerenv", 0o755),
)
_BASE_DIRECTORIES = ("dev", "etc", "proc", "sys")


def make_base(directory: Path) -> Path:
    """Make what is missing of the base in `directory` and return it; raises OSError.

    One that is incomplete after a crash does no harm: what it lacks is made in the container's own layer.
    """
    if (directory / _BASE_FILES[-1][0]).exists():
        return directory
    for path in (directory, *(directory / name for name in _BASE_DIRECTORIES)):
        make_directory(path).chmod(0o755)
    with contextlib.suppress(FileExistsError):
        (directory / "etc/mtab").symlink_to("/proc/mounts")
    for name, mode in _BASE_FILES:
        (directory / name).touch()
        (directory / name).chmod(mode)
    return directory


def make_uppers(directory: Path, trees: Sequence[RootfsTree]) -> Path:
    """Make what is missing of `directory`/rw and return it; an upper directory looks like the lower it covers.

    But for `/`, which is root's and 0755 whatever the image says, as in Docker: one that was made of a private folder
    would keep out every other user of the container. Raises EngineError when a layer of the image is gone, OSError.
    """
    rw = make_directory(directory / "rw")
    for number, tree in enumerate(trees):
        own = f"{rw}/{number}"
        if os.path.exists(f"{own}/upper"):
            continue
        try:
            below = os.stat(tree.lowers[0])
        except OSError as exc:
            raise EngineError(f"image layer {tree.lowers[0]}: cannot use: {exc.strerror}") from exc
        for made in ("work", "upper"):
            make_directory(Path(own, made))
        root = tree.target == "/"
        os.chown(f"{own}/upper", *((0, 0) if root else (below.st_uid, below.st_gid)))
        os.chmod(f"{own}/upper", 0o755 if root else stat.S_IMODE(below.st_mode))
    return rw
