"""Images as one tar that every tool reads: an OCI layout and `docker save`'s manifest.json side by side."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Protocol

from pycompose.engine.errors import ImageError
from pycompose.engine.images.layers.blobs import ensure_blobs
from pycompose.engine.images.layers.tarwriter import TarWriter
from pycompose.engine.images.manifest import OCI_INDEX, Descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pycompose.engine.images.layers.tarwriter import Writable
    from pycompose.engine.images.store import ImageStore, StoredImage

_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


class Archive(Protocol):
    """Where an image's files go: a tar, or a folder."""

    def add_directory(self, name: bytes) -> None:
        """Add an empty directory; its name ends with a slash."""
        ...

    def add_content(self, name: bytes, file: int, size: int) -> None:
        """Add a file with all of what `file` holds."""
        ...

    def add_bytes(self, name: bytes, data: bytes) -> None:
        """Add a small file."""
        ...


def save(
    store: ImageStore,
    references: Sequence[str],
    out: Writable,
    *,
    platform: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Write the images to `out` as a tar; `annotations` are those of their entries in the index.

    Raises NoSuchImage, ImageError when a layer's blob is missing, OSError.
    """
    tar = TarWriter(out)
    write_layout(store, references, tar, platform=platform, annotations=annotations)
    tar.close()


def write_layout(
    store: ImageStore,
    references: Sequence[str],
    archive: Archive,
    *,
    platform: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Add the images' files to `archive`. Raises as `save`."""
    images = [store.get(reference, platform=platform) for reference in references]
    digests: dict[str, int] = {}
    for image in images:
        ensure_blobs(store.layout, image, f"image {image.image.reference}")
        for item in (image.entry, image.manifest.config, *image.manifest.layers):
            digests[item.digest] = item.size
            if not store.layout.has_blob(item.digest):
                raise ImageError(
                    f"image {image.image.reference}: blob {item.digest} is missing", hint="pull it again"
                )
    for name in (b"blobs/", b"blobs/sha256/"):
        archive.add_directory(name)
    for digest in sorted(digests):
        path = store.layout.blob_path(digest)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            archive.add_content(os.fsencode(f"blobs/sha256/{path.name}"), fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_entry(image, annotations or {}).to_json() for image in images],
    }
    archive.add_bytes(b"index.json", _json(index))
    archive.add_bytes(b"manifest.json", _json([_docker_entry(image) for image in images]))
    archive.add_bytes(b"oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    for image in images:
        store.note("save", image.image)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _entry(image: StoredImage, further: Mapping[str, str]) -> Descriptor:
    annotations = {}
    if image.reference is not None and image.reference.tag:
        annotations = {_CONTAINERD_NAME: image.reference.key, _REF_NAME: image.reference.tag}
    return Descriptor(
        media_type=image.entry.media_type,
        digest=image.entry.digest,
        size=image.entry.size,
        platform=image.entry.platform,
        annotations={**annotations, **further},
    )


def _docker_entry(image: StoredImage) -> dict[str, Any]:
    named = image.reference is not None and image.reference.tag
    return {
        "Config": f"blobs/sha256/{image.manifest.config.hex}",
        "RepoTags": [image.reference.familiar] if named and image.reference else [],
        "Layers": [f"blobs/sha256/{layer.hex}" for layer in image.manifest.layers],
    }
