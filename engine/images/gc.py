"""Garbage collection: removing what no image and no container refers to.

Mark and sweep: an image keeps its manifest, configuration and layers; a container (its config.json names the
lower directories) keeps layers and skeletons. The sweep holds store.lock exclusively, so nobody is adding
meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ImageError, StateError
from pycompose.engine.images.host_mask import CURRENT_MASK
from pycompose.engine.images.manifest import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    parse_configuration,
    parse_manifest,
)
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.statefiles import locked

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.paths import StatePaths

YOUNG_S = 600.0
PARTIAL_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """What a sweep removed. `size_bytes` counts blobs and unpacked files."""

    blobs: int = 0
    layers: int = 0
    size_bytes: int = 0
    busy: bool = False


def sweep(
    layout: ImageLayout, paths: StatePaths, *, young_s: float = YOUNG_S, partial_s: float = PARTIAL_S
) -> Reclaimed:
    """Remove blobs, layers, skeletons and scratch that nothing refers to and that are older than `young_s`.

    Half downloads live for `partial_s`. Returns `busy` when somebody is adding something: the next sweep
    gets it.
    """
    layout.prepare()
    try:
        with locked(layout.root / "store.lock", wait=False):
            return _sweep(layout, paths, time.time() - young_s, time.time() - partial_s)
    except StateError:
        return Reclaimed(busy=True)


def _sweep(layout: ImageLayout, paths: StatePaths, before: float, partial_before: float) -> Reclaimed:
    blobs, layers = marked(layout)
    used = used_lowers(paths)
    # `upper/usr` of an image built upon `host` lies deeper than the `diff` of others.
    layers |= {part for lower in used for part in Path(lower).parts}
    layers |= {chain_id.removeprefix("sha256:") for chain_id in used_chains(paths.builder)}
    removed_blobs = removed_layers = freed = 0
    for entry in _old(layout.root / "blobs/sha256", before):
        if entry.name not in blobs:
            freed += entry.stat(follow_symlinks=False).st_size
            os.unlink(entry.path)
            removed_blobs += 1
    for entry in _old(layout.root / "layers", before):
        if entry.name not in layers:
            meta = layout.layer_meta(entry.name) or {}
            freed += int(meta.get("size_bytes", 0))
            discard(layout, Path(entry.path))
            removed_layers += 1
    for entry in _old(layout.root / "host", before):
        if (
            entry.is_dir(follow_symlinks=False)
            and entry.name not in layers
            and not _is_current(layout, entry.name)
        ):
            discard(layout, Path(entry.path))
    for entry in _old(layout.root / "tmp", time.time()):
        if entry.is_dir(follow_symlinks=False):
            freed += _remove_if_abandoned(Path(entry.path))
        elif entry.stat(follow_symlinks=False).st_mtime < partial_before:
            freed += entry.stat(follow_symlinks=False).st_size
            os.unlink(entry.path)
    return Reclaimed(blobs=removed_blobs, layers=removed_layers, size_bytes=freed)


def marked(layout: ImageLayout) -> tuple[set[str], set[str]]:
    """Return the hexes of blobs and the directory names of layers that the index needs."""
    blobs: set[str] = set()
    layers: set[str] = set()
    for entry in layout.index():
        blobs.add(entry.hex)
        try:
            manifest = parse_manifest(layout.read_blob(entry.digest, MAX_MANIFEST_BYTES), entry.digest)
            blobs |= {manifest.config.hex, *(layer.hex for layer in manifest.layers)}
            document = layout.read_blob(manifest.config.digest, MAX_CONFIG_BYTES)
            chain = parse_configuration(document, entry.digest).chain
            layers |= {chain_id.removeprefix("sha256:") for chain_id in chain}
        except (FileNotFoundError, ImageError):
            continue  # a damaged image keeps what can still be read of it
    return blobs, layers


def used_chains(folder: Path) -> set[str]:
    """Return the chain ids that the records of the build cache in `folder` name; reads every record."""
    found: set[str] = set()
    try:
        names = os.listdir(folder / "records")
    except FileNotFoundError:
        return found
    for name in names:
        try:
            found.add(str(json.loads((folder / "records" / name).read_bytes())["chain_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged: no record
    return found


def used_lowers(paths: StatePaths) -> set[str]:
    """Return every lower directory that a container of this machine names."""
    lowers: set[str] = set()
    for config in container_configs(paths):
        for tree in config.get("rootfs", ()):
            lowers.update(tree.get("lowers", ()))
    return lowers


def container_configs(paths: StatePaths) -> list[dict[str, Any]]:
    """Return config.json of all containers, leaving out those that are being made or removed."""
    found = []
    try:
        names = os.listdir(paths.containers)
    except FileNotFoundError:
        return []
    for name in names:
        try:
            found.append(json.loads((paths.container(name) / "config.json").read_bytes()))
        except (OSError, ValueError):
            continue
    return found


def _old(directory: Path, before: float) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return [entry for entry in entries if entry.stat(follow_symlinks=False).st_ctime <= before]


def _is_current(layout: ImageLayout, key: str) -> bool:
    for name in ("current.json", CURRENT_MASK):
        try:
            if json.loads((layout.root / "host" / name).read_bytes())["key"] == key:
                return True
        except (OSError, ValueError, KeyError):
            continue
    return False


def _remove_if_abandoned(path: Path) -> int:
    """Remove a scratch directory whose owner has died, return the bytes of its files.

    A process that still unpacks for that owner has it a moment longer: the next sweep gets it then.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return remove_tree(path)
    except BlockingIOError:
        return 0
    finally:
        os.close(fd)


def discard(layout: ImageLayout, path: Path) -> None:
    """Make a directory of the store vanish at once, then remove it."""
    with layout.scratch("trash") as scratch:
        os.rename(path, scratch / "tree")
