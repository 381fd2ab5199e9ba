"""How unpacked layers get into the store: finished in order, synced once, renamed into place.

A layer appears with its meta.json in one rename, so there is never half of one; whoever comes second with
the same layer throws his away. One syncfs(2) per image replaces an fsync per file.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError, DigestMismatch, ImageError
from pycompose.engine.images.layers.lower_layers import finish_layer
from pycompose.engine.images.layers.unpack import Report
from pycompose.engine.images.manifest import chain_ids
from pycompose.engine.linux.libc import call
from pycompose.engine.statefiles import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.engine.images.layers.workers import Unpacked
    from pycompose.engine.images.layout import ImageLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A layer that a worker has unpacked into `path`/diff."""

    path: Path
    unpacked: Unpacked


def layer_name(number: int, total: int, digest: str) -> str:
    """Return how messages name a layer."""
    return f"layer {number + 1} of {total} ({digest[7:19]})"


def commit_layers(
    layout: ImageLayout, diff_ids: Sequence[str], staged: Sequence[Staged | None], what: str
) -> list[str]:
    """Bring the layers of one image, lowest first, into the store; None stands for one that is there.

    Returns warnings. `what` begins error messages. Raises DigestMismatch when a layer isn't what the
    configuration says, ArchiveError when layers don't fit together, ImageError for a full disk.
    """
    chain = chain_ids(tuple(diff_ids))
    places: list[Path] = []
    moves: list[tuple[Path, Path]] = []
    warnings: list[str] = []
    try:
        for number, (diff_id, chain_id, item) in enumerate(zip(diff_ids, chain, staged, strict=True)):
            final = layout.layer(chain_id)
            if item is None or final.exists():
                places.append(final / "diff")
                continue
            if item.unpacked.diff_id != diff_id:
                layer = layer_name(number, len(diff_ids), diff_id)
                found = item.unpacked.diff_id
                raise DigestMismatch(f"{what}: {layer}: wrong content: expected {diff_id}, found {found}")
            warnings += _finish(item, number, chain, [*reversed(places)])
            places.append(item.path / "diff")
            moves.append((item.path, final))
        if moves:
            _sync(layout.root)
        for source, target in moves:
            _rename(source, target)
    except ArchiveError as exc:
        raise ArchiveError(
            f"{what}: {layer_name(len(places), len(diff_ids), diff_ids[len(places)])}: {exc}"
        ) from exc
    except OSError as exc:
        raise ImageError(f"{what}: cannot store a layer: {exc.filename}: {exc.strerror}") from exc
    return warnings


def _finish(item: Staged, number: int, chain: Sequence[str], lowers: list[Path]) -> list[str]:
    report_file = item.path / "report.json"
    report = Report.from_json(json.loads(report_file.read_bytes()))
    finish_layer(item.path / "diff", report, lowers)
    report_file.unlink()
    meta = {
        "diff_id": item.unpacked.diff_id,
        "chain_id": chain[number],
        "parent": chain[number - 1] if number else "",
        "size_bytes": item.unpacked.size_bytes,
        "entries": item.unpacked.entries,
    }
    write_json(item.path / "meta.json", meta, durable=False)
    return report.warnings


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call("syncfs", fd, path=str(directory))
    finally:
        os.close(fd)


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as exc:
        if exc.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
