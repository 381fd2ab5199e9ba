"""`cache_to`: layers and what steps they came of, into a folder or a registry, where other machines find them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.cacheformat import DOCUMENT, document_of, encoded, layer_blob, manifest_of
from pycompose.engine.builder.cacheoptions import LOCAL, MAX, UNCOMPRESSED, CachePlace
from pycompose.engine.builder.copying import copy_content
from pycompose.engine.builder.result import cached_steps
from pycompose.engine.images.layers.blobs import ensure_blob
from pycompose.engine.images.layers.packing import packed
from pycompose.engine.images.layout import REF_NAME, replace_file
from pycompose.engine.images.manifest import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor, sha256
from pycompose.engine.images.reference import parse as parse_reference

_PIECE = 1 << 20

if TYPE_CHECKING:
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.builder.solve import BuildResult
    from pycompose.engine.images.layout import ImageLayout


def export_cache(place: CachePlace, result: BuildResult, layout: ImageLayout, fetcher: Fetcher) -> int:
    """Put the cache of a build where `place` says, return how many steps it has.

    Raises BuildError, ImageError, OSError.
    """
    steps = cached_steps(result, everything=place.mode == MAX)
    blobs: dict[str, Descriptor] = {}
    for step in steps:
        if step.diff_id not in blobs:
            ensure_blob(layout, step.diff_id, step.chain_id, f"cache {place}")
            blobs[step.diff_id] = _packed(layout, step.diff_id, place.packing)
    document = encoded(document_of(steps, blobs))
    manifest = manifest_of(document, list(blobs.values()))
    if place.kind == LOCAL:
        _to_folder(place, layout, list(blobs.values()), document, manifest)
    else:
        _to_registry(place, layout, list(blobs.values()), document, manifest, fetcher)
    return len(steps)


def _packed(layout: ImageLayout, diff_id: str, packing: str) -> Descriptor:
    """Return the layer's blob as it goes out, put into the store."""
    plain = layout.blob_path(diff_id)
    if packing == UNCOMPRESSED:
        return layer_blob(diff_id, plain.stat().st_size)
    digest = hashlib.sha256()
    with layout.scratch("cache") as scratch:
        path = scratch / "blob"
        with plain.open("rb") as source, path.open("xb") as target:
            for piece in packed(iter(lambda: source.read(_PIECE), b""), packing):
                digest.update(piece)
                target.write(piece)
        size = path.stat().st_size
        name = f"sha256:{digest.hexdigest()}"
        layout.adopt_blob(path, name)
    return Descriptor(media_type=f"{OCI_LAYER}+{packing}", digest=name, size=size)


def _to_folder(
    place: CachePlace, layout: ImageLayout, blobs: list[Descriptor], document: bytes, manifest: bytes
) -> None:
    folder = Path(place.path)
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    for blob in blobs:
        _copy(layout.blob_path(blob.digest), folder / "blobs/sha256" / blob.hex)
    for data in (document, manifest):
        replace_file(
            folder / "blobs/sha256" / sha256(data).removeprefix("sha256:"), data, mode=0o644, durable=False
        )
    entry = {
        "mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest),
        "annotations": {REF_NAME: place.tag},
    }  # fmt: skip
    others = [one for one in _entries(folder) if _tag(one) != place.tag]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*others, entry]}
    replace_file(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=0o644, durable=False)
    replace_file(folder / "index.json", json.dumps(index).encode(), mode=0o644, durable=False)


def _entries(folder: Path) -> list[dict[str, object]]:
    """Return what the layout has under other tags already."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return [
            one
            for one in json.loads((folder / "index.json").read_bytes())["manifests"]
            if isinstance(one, dict)
        ]
    return []


def _tag(entry: dict[str, object]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(REF_NAME) if isinstance(annotations, dict) else None


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with source.open("rb") as reader, temporary.open("xb") as writer:
            copy_content(reader.fileno(), writer.fileno(), os.fstat(reader.fileno()).st_size)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _to_registry(
    place: CachePlace,
    layout: ImageLayout,
    blobs: list[Descriptor],
    document: bytes,
    manifest: bytes,
    fetcher: Fetcher,
) -> None:
    from pycompose.engine.images.registry.settings import RegistrySettings  # noqa: PLC0415 - seldom
    from pycompose.engine.images.registry.upload import Uploader, open_repository  # noqa: PLC0415 - as above

    reference = parse_reference(place.reference)
    repository = open_repository(reference, RegistrySettings.load(fetcher.environment), actions="pull,push")
    fetcher.on_cancel(repository.transport.abort)
    try:
        uploader = Uploader(layout, repository)
        for blob in blobs:
            uploader.blob(blob)
        layout.put_blob(document)
        uploader.blob(Descriptor(media_type=DOCUMENT, digest=sha256(document), size=len(document)))
        uploader.manifest(reference.tag or "latest", manifest, OCI_MANIFEST)
    finally:
        repository.transport.close()
