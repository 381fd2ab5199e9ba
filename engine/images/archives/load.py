"""Images from files into the store: `image load`, and `oci:` and `docker-archive:` as references."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import ArchiveError, DigestMismatch, ImageError, InvalidReference
from pycompose.engine.images.archives.archive import DirectorySource, FoundImage, Source, TarSource, images_in
from pycompose.engine.images.layers.compress import MAGIC_BYTES, detect
from pycompose.engine.images.layers.ingest import Staged, commit_layers, layer_name
from pycompose.engine.images.layers.pool import UnpackPool
from pycompose.engine.images.layers.workers import complete
from pycompose.engine.images.manifest import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    chain_ids,
    parse_configuration,
    sha256,
)
from pycompose.engine.images.reference import Reference, ReferenceKind, parse
from pycompose.engine.images.store import file_stamp

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pycompose.engine.images.layers.workers import Unpacked
    from pycompose.engine.images.spec import Image, Platform
    from pycompose.engine.images.store import ImageStore


def load(store: ImageStore, source: Path | BinaryIO, *, platform: Platform | None = None) -> list[Image]:
    """Store all images of an archive under their names; one without a name stays nameless.

    Raises ArchiveError, DigestMismatch, ImageError.
    """
    images = _load(store, source, platform, None)
    for image in images:
        store.note("load", image)
    return images


def load_reference(store: ImageStore, reference: Reference, *, platform: Platform | None = None) -> Image:
    """Store the image that `oci:DIR[:REF]` or `docker-archive:FILE[:REF]` means.

    So that `resolve` finds it.
    """
    images = _load(store, Path(reference.location), platform, reference)
    if len(images) > 1:
        raise ImageError(
            f"image {reference}: it holds {len(images)} images", hint="name one, as in oci:DIR:NAME"
        )
    return images[0]


def _load(
    store: ImageStore, source: Path | BinaryIO, platform: Platform | None, wanted: Reference | None
) -> list[Image]:
    what = str(source) if isinstance(source, Path) else "standard input"
    stamp = file_stamp(wanted) if wanted is not None else ""
    with ExitStack() as stack:
        stack.enter_context(store.layout.adding())
        scratch = stack.enter_context(store.layout.scratch("load"))
        try:
            opened: Source
            if isinstance(source, Path) and source.is_dir():
                opened = DirectorySource(source, scratch, what)
            else:
                file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
                opened = TarSource(file, scratch, what)
            found = images_in(opened, platform, wanted.inner if wanted is not None else "")
            if wanted is not None and len(found) != 1:
                raise ImageError(
                    f"image {wanted}: it holds {len(found)} images", hint=f"name one, as in {wanted}:NAME"
                )
            loader = _Loader(store, opened, scratch, stack.enter_context(UnpackPool()))
            loaded = []
            for number, image in enumerate(found):
                loaded.append(loader.store_image(image, number, wanted, stamp))
        except OSError as exc:
            raise ImageError(f"{what}: cannot load: {exc.filename}: {exc.strerror}") from exc
    return loaded


class _Loader:
    def __init__(self, store: ImageStore, source: Source, scratch: Path, pool: UnpackPool) -> None:
        self._store = store
        self._layout = store.layout
        self._source = source
        self._scratch = scratch
        self._pool = pool

    def store_image(self, image: FoundImage, number: int, wanted: Reference | None, stamp: str) -> Image:
        what = self._source.what
        configuration = parse_configuration(image.config, what)
        if len(configuration.diff_ids) != len(image.layers):
            raise ArchiveError(
                f"{what}: {len(image.layers)} layers, the configuration has {len(configuration.diff_ids)}"
            )
        blobs: list[tuple[str, Path | None]] = []
        jobs: list[tuple[Path, Future[Unpacked]] | None] = []
        chain = chain_ids(configuration.diff_ids)
        for position, (layer, chain_id) in enumerate(zip(image.layers, chain, strict=True)):
            digest, path = self._blob(layer.name, layer.digest)
            blobs.append((digest, path))
            if self._layout.layer_meta(chain_id) is not None:
                jobs.append(None)
                continue
            staging = self._scratch / f"layer-{number}-{position}"
            staging.mkdir(mode=0o700)
            blob = path or self._layout.blob_path(digest)
            jobs.append((staging, self._submit(blob, staging)))
        staged = [self._result(job, index, len(jobs), blobs[index][0]) for index, job in enumerate(jobs)]
        commit_layers(self._layout, configuration.diff_ids, staged, what)
        manifest = image.manifest or self._describe(image.config, blobs)
        for digest, path in blobs:
            if path is not None and path.exists():
                self._layout.adopt_blob(path, digest)
        self._layout.put_blob(image.config)
        if wanted is not None:
            return self._store.add(manifest, wanted, stamp=stamp)
        names = [name for name in map(_name, image.names) if name is not None]
        first = self._store.add(manifest, names[0] if names else None)
        for name in names[1:]:
            self._store.add(manifest, name)
        return first

    def _submit(self, blob: Path, staging: Path) -> Future[Unpacked]:
        compression = compression_of(blob)
        fd, growing = complete(blob)
        return self._pool.submit(fd, compression, staging, growing)

    def _blob(self, name: str, digest: str) -> tuple[str, Path | None]:
        """Return digest and file of a layer; no file when the store has it."""
        if digest and self._layout.has_blob(digest):
            return digest, None
        member = self._source.member(name)
        if digest and member.digest != digest:
            raise DigestMismatch(
                f"{self._source.what}: {name}: wrong content: expected {digest}, found {member.digest}"
            )
        return member.digest, None if self._layout.has_blob(member.digest) else member.path

    def _result(
        self, job: tuple[Path, Future[Unpacked]] | None, index: int, total: int, digest: str
    ) -> Staged | None:
        if job is None:
            return None
        try:
            return Staged(path=job[0], unpacked=job[1].result())
        except ArchiveError as exc:
            place = f"{self._source.what}: {layer_name(index, total, digest)}"
            raise ArchiveError(f"{place}: {exc.message}", hint=exc.hint) from exc

    def _describe(self, config: bytes, blobs: list[tuple[str, Path | None]]) -> bytes:
        """Return a manifest for an image that came without one."""
        layers = []
        for digest, path in blobs:
            blob = path if path is not None and path.exists() else self._layout.blob_path(digest)
            kind = compression_of(blob)
            media_type = OCI_LAYER + (f"+{kind}" if kind else "")
            layers.append({"mediaType": media_type, "digest": digest, "size": blob.stat().st_size})
        value = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": len(config)},
            "layers": layers,
        }
        return json.dumps(value, sort_keys=True).encode()


def compression_of(blob: Path) -> str:
    """Return the compression of a layer by its first bytes.

    Raises ArchiveError for one that layers can't have.
    """
    with blob.open("rb") as file:
        found = detect(file.read(MAGIC_BYTES))
    if found not in ("", "gzip", "zstd"):
        raise ArchiveError(f"{found} is no compression for layers")
    return found


def _name(text: str) -> Reference | None:
    """Return the name that an archive gives an image.

    None for one that isn't a name (an OCI layout's bare tag).
    """
    try:
        reference = parse(text)
    except InvalidReference:
        return None
    if reference.kind is not ReferenceKind.REGISTRY:
        return None
    return replace(reference, digest="") if reference.tag else None
