"""The writable layer of a container: `rw/N/{upper,work}` for each overlay of its root file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pycompose.engine.config import RootfsTree
from pycompose.engine.errors import EngineError


def make_uppers(directory: Path, trees: Sequence[RootfsTree]) -> Path:
    """Make what is missing of `directory`/rw and return it; an upper directory looks like the lower it covers.

    Raises EngineError when a layer of the image is gone, OSError.
    """
    rw = directory / "rw"
    rw.mkdir(mode=0o700, exist_ok=True)
    for number, tree in enumerate(trees):
        upper = rw / str(number) / "upper"
        if upper.exists():
            continue
        try:
            below = os.stat(tree.lowers[0])
        except OSError as exc:
            raise EngineError(f"image layer {tree.lowers[0]}: cannot use: {exc.strerror}") from exc
        (rw / str(number) / "work").mkdir(parents=True, exist_ok=True)
        upper.mkdir()
        os.chown(upper, below.st_uid, below.st_gid)
        upper.chmod(stat.S_IMODE(below.st_mode))
    return rw
