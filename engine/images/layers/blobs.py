"""Blobs of layers that were built here: a build names a layer by its tar's digest without keeping the tar.

The same directory gives the same tar, so it is written when somebody wants it, and checked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from pycompose.engine.errors import ImageError
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.tarwriter import TarWriter

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.images.store import StoredImage


def ensure_blobs(layout: ImageLayout, stored: StoredImage, what: str) -> None:
    """Write the blobs of `stored` that can be made from its unpacked layers; `what` begins error messages.

    Raises ImageError for an image that stands on the machine's own system, and for a full disk.
    """
    if stored.configuration.host:
        raise ImageError(
            f"{what}: it was built FROM host: the system below it is this machine's, and no part of it",
            hint="export a container of it, which has everything: pycompose container export",
        )
    diff_ids, chain = stored.configuration.diff_ids, stored.configuration.chain
    for descriptor, diff_id, chain_id in zip(stored.manifest.layers, diff_ids, chain, strict=True):
        if descriptor.digest == diff_id and layout.layer(chain_id).is_dir():
            ensure_blob(layout, diff_id, chain_id, what)


def ensure_blob(layout: ImageLayout, diff_id: str, chain_id: str, what: str) -> None:
    """Write the tar of the unpacked layer `chain_id` unless it is there. Raises ImageError."""
    if not layout.has_blob(diff_id):
        _write(layout, diff_id, chain_id, what)


def _write(layout: ImageLayout, diff_id: str, chain_id: str, what: str) -> None:
    with layout.adding(), layout.scratch("blob") as scratch:
        path = scratch / "blob"
        try:
            with path.open("xb") as file:
                out = _Hashed(file)
                tar = TarWriter(out)
                LayerTar(tar, at_rest=True).diff(layout.layer(chain_id) / "diff")
                tar.close()
        except OSError as exc:
            raise ImageError(f"{what}: cannot write a layer: {exc.filename or path}: {exc.strerror}") from exc
        if f"sha256:{out.hash.hexdigest()}" != diff_id:
            raise ImageError(f"{what}: layer {diff_id}: it has changed in the store", hint="build it again")
        layout.adopt_blob(path, diff_id)


class _Hashed:
    """A file that hashes what it is given."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        self.hash.update(data)
        return self._file.write(data)
