"""A directory as image: `rootfs:DIR`, and layers over the trees of `host`."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchImage
from pycompose.engine.images.spec import Image, machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.engine.images.reference import Reference


def rootfs_image(reference: Reference) -> Image:
    """Return the image of a directory, whose `location` is absolute. Raises NoSuchImage.

    Containers share the directory read-only. Its id is its place, so changed content recreates nothing.
    """
    path = os.path.realpath(reference.location)
    try:
        status = os.stat(path)
    except OSError as exc:
        raise NoSuchImage(f"image {reference}: {exc.strerror}: {path}") from exc
    if not stat.S_ISDIR(status.st_mode):
        raise NoSuchImage(
            f"image {reference}: not a directory: {path}", hint="for a tar: pycompose image import"
        )
    if path == "/":
        raise NoSuchImage(
            f"image {reference}: the machine's own root cannot be used so", hint="use `image: host`"
        )
    identity = hashlib.sha256(b"rootfs\0" + os.fsencode(path) + f"\0{status.st_ino}".encode()).hexdigest()
    return Image(
        reference=str(reference),
        id=f"sha256:{identity}",
        trees=(RootfsTree(target="/", lowers=(path,)),),
        platform=str(machine()),
    )


def stacked(base: Sequence[RootfsTree], diffs: Sequence[Path]) -> tuple[RootfsTree, ...]:
    """Return `base` with the layers `diffs` (topmost first) over it, each tree with its part of them."""
    trees = []
    for tree in base:
        inner = tree.target.strip("/")
        own = [str(diff / inner) if inner else str(diff) for diff in diffs]
        trees.append(replace(tree, lowers=(*(path for path in own if os.path.isdir(path)), *tree.lowers)))
    return tuple(trees)
