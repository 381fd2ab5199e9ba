"""Images as one tar that every tool reads: an OCI layout and `docker save`'s manifest.json side by side."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import ImageError
from pycompose.engine.images.layers.blobs import ensure_blobs
from pycompose.engine.images.layers.tarwriter import TarWriter
from pycompose.engine.images.manifest import OCI_INDEX, Descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.images.layers.tarwriter import Writable
    from pycompose.engine.images.store import ImageStore, StoredImage

_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


def save(store: ImageStore, references: Sequence[str], out: Writable, *, platform: str | None = None) -> None:
    """Write the images to `out`. Raises NoSuchImage, ImageError when a layer's blob is missing, OSError."""
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
    tar = TarWriter(out)
    for name in (b"blobs/", b"blobs/sha256/"):
        tar.add_directory(name)
    for digest in sorted(digests):
        path = store.layout.blob_path(digest)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            tar.add_content(os.fsencode(f"blobs/sha256/{path.name}"), fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)
    index = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [_entry(image).to_json() for image in images],
    }
    tar.add_bytes(b"index.json", _json(index))
    tar.add_bytes(b"manifest.json", _json([_docker_entry(image) for image in images]))
    tar.add_bytes(b"oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    tar.close()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _entry(image: StoredImage) -> Descriptor:
    annotations = {}
    if image.reference is not None and image.reference.tag:
        annotations = {_CONTAINERD_NAME: image.reference.key, _REF_NAME: image.reference.tag}
    return Descriptor(
        media_type=image.entry.media_type,
        digest=image.entry.digest,
        size=image.entry.size,
        platform=image.entry.platform,
        annotations=annotations,
    )


def _docker_entry(image: StoredImage) -> dict[str, Any]:
    named = image.reference is not None and image.reference.tag
    return {
        "Config": f"blobs/sha256/{image.manifest.config.hex}",
        "RepoTags": [image.reference.familiar] if named and image.reference else [],
        "Layers": [f"blobs/sha256/{layer.hex}" for layer in image.manifest.layers],
    }
