"""A stage's file system between two steps: the lower directories of its base, and a layer for each step (commit.py)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.images.manifest import chain_ids
from pycompose.engine.images.rootfs import stacked

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer in the store. `size_bytes` counts unpacked files, `tar_bytes` the tar that `diff_id` names.

    `created_s` (since the epoch) is when it was first made: an image built from the cache is the same image.
    """

    diff_id: str
    chain_id: str
    size_bytes: int = 0
    tar_bytes: int = 0
    created_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a step starts from: the base image's own trees, and the layers above them, lowest first.

    `below` are the diff ids of the base's own layers: the chain goes on from them. `identity` names a base without
    layers (`host`), "" for others.
    """

    base: tuple[RootfsTree, ...] = ()
    below: tuple[str, ...] = ()
    identity: str = ""
    layers: tuple[Layer, ...] = ()

    @property
    def chain_id(self) -> str:
        """What names this file system's content; the key of what is done to it next."""
        chain = chain_ids((*self._seed, *self.below, *(layer.diff_id for layer in self.layers)))
        return chain[-1] if chain else "scratch"

    @property
    def _seed(self) -> tuple[str, ...]:
        # Layers above `host` mean nothing elsewhere: their names begin with what the system is.
        return (self.identity,) if self.identity else ()

    def next_chain_id(self, diff_id: str) -> str:
        """Return the chain id after one more layer."""
        return chain_ids((*self._seed, *self.below, *(layer.diff_id for layer in self.layers), diff_id))[-1]

    def above(self, layer: Layer) -> Snapshot:
        """Return the file system with one more layer."""
        return replace(self, layers=(*self.layers, layer))

    def trees(self, layout: ImageLayout, empty: Path) -> tuple[RootfsTree, ...]:
        """Return the overlays' lowers, topmost first; `empty` is a directory with nothing in it, for `scratch`."""
        diffs = [layout.layer(layer.chain_id) / "diff" for layer in reversed(self.layers)]
        return stacked(self.base or (RootfsTree(target="/", lowers=(str(empty),)),), diffs)


def known_layer(layout: ImageLayout, chain_id: str) -> Layer | None:
    """Return a layer that a build has left in the store, None when it isn't there any more."""
    meta = layout.layer_meta(chain_id)
    if meta is None:
        return None
    return Layer(
        diff_id=meta["diff_id"],
        chain_id=chain_id,
        size_bytes=int(meta.get("size_bytes", 0)),
        tar_bytes=int(meta.get("tar_bytes", 0)),
        created_s=float(meta.get("created_s", 0)),
    )


@contextlib.contextmanager
def opened(paths: StatePaths, scratch: Path, snapshot: Snapshot, layout: ImageLayout) -> Iterator[int]:
    """Yield the root of a snapshot, mounted for the block, writes going to `scratch`/rw. Raises MountError."""
    from pycompose.engine.filesystem.view import mounted  # noqa: PLC0415 - builds that find all done don't need it

    # Two of them: overlayfs takes no directory twice.
    empty, below = scratch / "empty", scratch / "below"
    for path in (empty, below):
        path.mkdir(mode=0o755, exist_ok=True)
    with mounted(paths, "build", snapshot.trees(layout, empty), below, scratch) as root:
        yield root


@contextlib.contextmanager
def upper_of(scratch: Path, snapshot: Snapshot) -> Iterator[int]:
    """Yield the upper directory of a snapshot that is open in `scratch`; -1 upon `host`, which has several."""
    if len(snapshot.base) > 1:
        yield -1
        return
    fd = os.open(scratch / "rw/0/upper", os.O_PATH | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
