"""What the build cache takes, and making it smaller: records used longest ago first, cache mounts on demand."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.cache import BuildCache, CacheRecord
from pycompose.engine.dataclass import dataclass
from pycompose.engine.images import gc
from pycompose.engine.linux.trees import files_below, remove_tree

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

# What is kept without being asked: so many bytes of layers, used within so many days, and what was fetched.
MOST_BYTES = 20 * 1024**3
LONGEST_S = 60 * 24 * 3600.0
TRIM_EVERY_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFolder:
    """A cache mount, or what was fetched from elsewhere; `used_s` is when a build had it last."""

    path: Path
    kind: str
    title: str
    size_bytes: int
    used_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed."""

    records: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
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


def folders(cache: BuildCache) -> list[KeptFolder]:
    """Return the cache mounts, and what was fetched. Walks through their trees."""
    found = []
    for place in ("mounts", "sources"):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(cache.folder / place):
                path = cache.folder / place / name
                with contextlib.suppress(OSError):
                    found.append(_folder(path, is_mount=place == "mounts"))
    return found


def _folder(path: Path, *, is_mount: bool) -> KeptFolder:
    kind, title = "exec.cachemount", "cache mount"
    if not is_mount:
        kind = "source.git.checkout" if (path / "repository").is_dir() else "source.http"
        title = ""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            title = str(json.loads((path / "meta.json").read_bytes())["url"])
    return KeptFolder(
        path=path,
        kind=kind,
        title=title,
        size_bytes=sum(status.st_size for status in files_below(path)),
        used_s=path.stat().st_mtime,
    )


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
        for folder in folders(cache):
            if (before_s is None or folder.used_s < before_s) and _remove_folder(folder.path):
                removed.append(folder.path.name)
                freed += folder.size_bytes
        cache.forget_old(before_s if before_s is not None else time.time())
    reclaimed = gc.sweep(layout, paths, young_s=0.0) if gone else gc.Reclaimed()
    return Pruned(
        records=tuple(record.key for record in gone),
        folders=tuple(removed),
        size_bytes=freed + reclaimed.size_bytes,
    )


def trim(cache: BuildCache, layout: ImageLayout, paths: StatePaths) -> None:
    """Keep the cache within its bounds; called after a build that has added to it, and looks every ten minutes.

    Looking reads every record and every image's layers: more than a small change of a source takes to build.
    """
    stamp = cache.folder / "trimmed"
    with contextlib.suppress(OSError):
        if 0 <= time.time() - stamp.stat().st_mtime < TRIM_EVERY_S:
            return
    with contextlib.suppress(OSError):
        stamp.touch()
    found = [record for record in records(cache, layout) if not record.in_use]
    for folder in (cache.folder / "sources").iterdir() if (cache.folder / "sources").is_dir() else ():
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < time.time() - LONGEST_S:
                _remove_folder(folder)
    too_much = sum(record.size_bytes for record in found) > MOST_BYTES
    oldest = time.time() - LONGEST_S
    cache.forget_old(oldest)
    if too_much or any(record.used_s < oldest for record in found):
        prune(
            cache,
            layout,
            paths,
            keep_bytes=MOST_BYTES if too_much else None,
            before_s=None if too_much else oldest,
        )


def _remove_folder(path: Path) -> bool:
    """Remove a folder that no build has at the moment; tell whether it is gone."""
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
