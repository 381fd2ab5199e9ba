"""What the build cache takes, and making it smaller: records used longest ago first, cache mounts on demand."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.cache import BuildCache, CacheRecord
from pycompose.engine.dataclass import dataclass
from pycompose.engine.images import gc
from pycompose.engine.images.removal import remove_tree

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

# What is kept without being asked: so many bytes of layers, used within so many days.
MOST_BYTES = 20 * 1024**3
LONGEST_S = 60 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheMount:
    """One cache mount's directory; `used_s` is when a step had it last."""

    path: Path
    size_bytes: int
    used_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed."""

    records: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    size_bytes: int = 0


def records(cache: BuildCache, layout: ImageLayout) -> list[CacheRecord]:
    """Return the records whose layers exist, used last first; those of images are `in_use`."""
    used = image_layers(layout)
    found = []
    for record in cache.records():
        if not layout.layer(record.chain_id).is_dir():
            cache.forget(record.key)
            continue
        in_use = record.chain_id.removeprefix("sha256:") in used
        found.append(
            CacheRecord(
                key=record.key,
                chain_id=record.chain_id,
                size_bytes=record.size_bytes,
                created_s=record.created_s,
                used_s=record.used_s,
                title=record.title,
                in_use=in_use,
            )
        )
    return sorted(found, key=lambda record: record.used_s, reverse=True)


def image_layers(layout: ImageLayout) -> set[str]:
    """Return the directory names of the layers that images of the index need."""
    return gc.marked(layout)[1]


def mounts(cache: BuildCache) -> list[CacheMount]:
    """Return the cache mounts. Walks through their trees."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(cache.folder / "mounts"):
            path = cache.folder / "mounts" / name
            with contextlib.suppress(OSError):
                found.append(CacheMount(path=path, size_bytes=_tree_bytes(path), used_s=path.stat().st_mtime))
    return found


def prune(
    cache: BuildCache,
    layout: ImageLayout,
    paths: StatePaths,
    *,
    everything: bool = False,
    before_s: float | None = None,
    keep_bytes: int | None = None,
) -> Pruned:
    """Remove records that no image stands on (`everything`: all, and cache mounts) and the layers that nobody needs.

    `before_s` (since the epoch) spares what was used later, `keep_bytes` as much as that, used last.
    """
    gone: list[CacheRecord] = []
    kept_bytes = 0
    for record in records(cache, layout):
        spared = (record.in_use and not everything) or (before_s is not None and record.used_s >= before_s)
        if not spared and keep_bytes is not None and kept_bytes + record.size_bytes <= keep_bytes:
            kept_bytes += record.size_bytes
            spared = True
        if not spared:
            gone.append(record)
            cache.forget(record.key)
    removed: list[str] = []
    freed = 0
    if everything and keep_bytes is None:
        for mount in mounts(cache):
            if (before_s is None or mount.used_s < before_s) and _remove_mount(mount.path):
                removed.append(mount.path.name)
                freed += mount.size_bytes
    reclaimed = gc.sweep(layout, paths, young_s=0.0) if gone else gc.Reclaimed()
    return Pruned(
        records=tuple(record.key for record in gone),
        mounts=tuple(removed),
        size_bytes=freed + reclaimed.size_bytes,
    )


def trim(cache: BuildCache, layout: ImageLayout, paths: StatePaths) -> None:
    """Keep the cache within its bounds; called after a build that has added to it."""
    found = [record for record in records(cache, layout) if not record.in_use]
    too_much = sum(record.size_bytes for record in found) > MOST_BYTES
    oldest = time.time() - LONGEST_S
    if too_much or any(record.used_s < oldest for record in found):
        prune(
            cache,
            layout,
            paths,
            keep_bytes=MOST_BYTES if too_much else None,
            before_s=None if too_much else oldest,
        )


def _remove_mount(path: Path) -> bool:
    """Remove a cache mount that no step has at the moment; tell whether it is gone."""
    with contextlib.ExitStack() as stack:
        for name in os.listdir(path):
            if not name.endswith(".lock"):
                continue
            fd = os.open(path / name, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        with contextlib.suppress(OSError):
            remove_tree(path)
            return True
    return False


def _tree_bytes(path: Path) -> int:
    total = 0
    for directory, _names, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
