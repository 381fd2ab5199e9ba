"""A root file system tar becomes an image with one layer."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pycompose.engine.errors import ArchiveError, ImageError
from pycompose.engine.images.layers.compress import MAGIC_BYTES, Budget, detect, pieces
from pycompose.engine.images.layers.ingest import Staged, commit_layers
from pycompose.engine.images.layers.workers import DownloadFailed, GrowingBlob, Unpacked, Worker
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pycompose.engine.images.reference import Reference, ReferenceKind, parse
from pycompose.engine.images.spec import Image, ImageConfig, config_to_oci, created_now, machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.engine.images.store import ImageStore

_PIECE = 1024 * 1024
# What dockerd says of an image that came as a request's body, unless it is told something better.
IMPORTED = "Imported from -"
_KEPT_COMPRESSIONS = ("", "gzip", "zstd")


def import_rootfs(
    store: ImageStore,
    source: Path | BinaryIO,
    reference: str | None,
    *,
    config: ImageConfig | None = None,
    on_build: Sequence[str] = (),
    message: str = "",
) -> Image:
    """Make an image with one layer out of the root file system tar `source`, also a compressed one.

    `config` is what it is to have, `on_build` its instructions for builds upon it.
    Raises ArchiveError, InvalidReference, ImageError.
    """
    name = target_name(reference)
    what = str(source) if isinstance(source, Path) else "standard input"
    layout = store.layout
    with ExitStack() as stack:
        file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        stack.enter_context(layout.adding())
        scratch = stack.enter_context(layout.scratch("import"))
        worker = stack.enter_context(Worker())
        start = file.read(MAGIC_BYTES)
        compression = detect(start)
        content = _chain(start, file)
        if compression not in _KEPT_COMPRESSIONS:
            content = pieces(_Pieces(content), compression, Budget())
            compression = ""
        try:
            digest, size, unpacked = _receive(content, scratch, worker, compression)
        except ArchiveError as exc:
            raise ArchiveError(f"{what}: cannot import: {exc}", hint=exc.hint) from exc
        except OSError as exc:
            where = exc.filename or layout.root
            raise ImageError(f"{what}: cannot import: {where}: {exc.strerror}") from exc
        commit_layers(layout, (unpacked.diff_id,), (Staged(path=scratch / "layer", unpacked=unpacked),), what)
        if not layout.has_blob(digest):
            layout.adopt_blob(scratch / "blob", digest)
        media_type = OCI_LAYER + (f"+{compression}" if compression else "")
        layer = {"mediaType": media_type, "digest": digest, "size": size}
        described = config_to_oci(config or ImageConfig())
        if on_build:
            described["OnBuild"] = list(on_build)
        image = store.add(_describe(store, described, unpacked.diff_id, layer, message), name)
        store.note("import", image)
        return image


def target_name(reference: str | None) -> Reference | None:
    """Return the name for a new image. Raises InvalidReference, ImageError for a form that names a source."""
    if reference is None:
        return None
    name = parse(reference)
    if name.kind is not ReferenceKind.REGISTRY or name.digest:
        raise ImageError(
            f"image {reference}: cannot be the name of a new image", hint="a name looks like name:tag"
        )
    return name


def _receive(
    content: Iterator[bytes], scratch: Path, worker: Worker, compression: str
) -> tuple[str, int, Unpacked]:
    """Copy the content to a file while the worker unpacks that."""
    blob = scratch / "blob"
    staging = scratch / "layer"
    staging.mkdir(mode=0o700)
    growing = GrowingBlob()
    outcome: list[Unpacked | Exception] = []

    hasher = hashlib.sha256()
    size = 0
    descriptor = -1

    def unpack() -> None:
        try:
            outcome.append(worker.unpack(descriptor, compression, staging, growing))
        except (ImageError, DownloadFailed) as exc:
            outcome.append(exc)

    with open(blob, "xb", buffering=0) as out:
        descriptor = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        thread = threading.Thread(target=unpack, name="unpack")
        thread.start()
        try:
            for piece in content:
                hasher.update(piece)
                out.write(piece)
                size += len(piece)
                growing.advance(size)
        except BaseException:
            growing.fail()
            thread.join()
            raise
        growing.finish()
        thread.join()
    (result,) = outcome
    if isinstance(result, Exception):
        raise result
    return f"sha256:{hasher.hexdigest()}", size, result


def _describe(
    store: ImageStore, config: dict[str, Any], diff_id: str, layer: dict[str, Any], message: str
) -> bytes:
    created = created_now()
    platform = machine()
    document: dict[str, Any] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "", "comment": message or IMPORTED}],
    }
    if platform.variant:
        document["variant"] = platform.variant
    data = json.dumps(document, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": store.layout.put_blob(data), "size": len(data)},
        "layers": [layer],
    }
    return json.dumps(manifest, sort_keys=True).encode()


def _chain(start: bytes, file: BinaryIO) -> Iterator[bytes]:
    if start:
        yield start
    while piece := file.read(_PIECE):
        yield piece


class _Pieces:
    """An iterator of pieces as a readable; returns whole pieces, whatever size is asked for."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content

    def read(self, _size: int = 0, /) -> bytes:
        return next(self._content, b"")
