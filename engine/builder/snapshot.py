"""A stage's file system between two steps: lower directories, and new layers made out of upper ones.

A step works in an upper directory of its own over the layers before it; when it has ended, that directory *is* the
layer: it gets a name by its content and moves into the image store, nothing is copied or packed. The tar whose digest
names it (image-spec config.md, DiffID) is only hashed, and written when somebody pushes or saves the image.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import BuildError
from pycompose.engine.filesystem.view import mounted
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.lower_layers import is_opaque
from pycompose.engine.images.layers.tarwriter import TarWriter
from pycompose.engine.images.manifest import chain_ids
from pycompose.engine.images.rootfs import stacked
from pycompose.engine.statefiles import write_json

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


@dataclass(slots=True)
class _Hash:
    """A file that keeps nothing but a digest and a length."""

    digest: object = field(default_factory=hashlib.sha256)
    length: int = 0

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        self.digest.update(data)  # type: ignore[attr-defined]
        self.length += len(data)
        return len(data)


class _CountingTar(TarWriter):
    """A tar writer that counts what goes into it."""

    entries = 0
    size_bytes = 0

    def add(
        self,
        name: bytes,
        status: os.stat_result,
        *,
        file: int | None = None,
        link: bytes = b"",
        xattrs: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Add a member, and count it."""
        self.entries += 1
        if stat.S_ISREG(status.st_mode):
            self.size_bytes += status.st_size
        super().add(name, status, file=file, link=link, xattrs=xattrs)


def commit(layout: ImageLayout, scratch: Path, parent: Snapshot, *, leave_out: Sequence[bytes] = ()) -> Layer:
    """Make the uppers in `scratch`/rw the next layer above `parent`; raises BuildError.

    `leave_out` are paths (relative) that aren't part of it. The caller holds the store (`layout.adding`).
    """
    try:
        upper = _gathered(scratch / "rw", [tree.target for tree in parent.base] or ["/"])
        for path in leave_out:
            _forget(upper, path)
        hashed = _Hash()
        tar = _CountingTar(hashed)
        LayerTar(tar).diff(upper)
        tar.close()
        diff_id = f"sha256:{hashed.digest.hexdigest()}"  # type: ignore[attr-defined]
        chain_id = parent.next_chain_id(diff_id)
        staging = scratch / "layer"
        staging.mkdir(mode=0o700)
        os.rename(upper, staging / "diff")
        meta = {
            "diff_id": diff_id,
            "chain_id": chain_id,
            "parent": parent.chain_id if parent.layers or parent.below else "",
            "size_bytes": tar.size_bytes,
            "entries": tar.entries,
            "tar_bytes": hashed.length,
            "created_s": time.time(),
        }
        write_json(staging / "meta.json", meta, durable=False)
        final = layout.layer(chain_id)
        with contextlib.suppress(FileExistsError, OSError):
            os.rename(staging, final)
    except OSError as exc:
        raise BuildError(
            f"cannot store a layer: {exc.filename or scratch}: {exc.strerror}",
            hint="make room with: pycompose system prune" if exc.errno == 28 else None,
        ) from exc
    layer = known_layer(layout, chain_id)
    if layer is None:
        raise BuildError(f"cannot store the layer {chain_id}")
    return layer


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


def _gathered(rw: Path, targets: Sequence[str]) -> Path:
    """Return the upper of `/` with the uppers of the other trees in their places."""
    top = rw / "0/upper"
    for number, target in enumerate(targets):
        own = rw / f"{number}/upper"
        if number and any(os.scandir(own)):
            place = top / target.strip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                place.rmdir()
            os.rename(own, place)
    return top


def _forget(upper: Path, path: bytes) -> None:
    """Remove an empty file or directory that was there only for something to be mounted on it."""
    name = os.path.join(os.fsencode(upper), path)
    with contextlib.suppress(OSError):
        status = os.lstat(name)
        if stat.S_ISDIR(status.st_mode):
            if not _is_opaque(name):  # it hides what is below: that was the step's doing
                os.rmdir(name)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(name)


def _is_opaque(path: str | bytes) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(paths: StatePaths, scratch: Path, snapshot: Snapshot, layout: ImageLayout) -> Iterator[int]:
    """Yield the root of a snapshot, mounted for the block, writes going to `scratch`/rw. Raises MountError."""
    # Two of them: overlayfs takes no directory twice.
    empty, below = scratch / "empty", scratch / "below"
    for path in (empty, below):
        path.mkdir(mode=0o755, exist_ok=True)
    with mounted(paths, "build", snapshot.trees(layout, empty), below, scratch) as root:
        yield root
