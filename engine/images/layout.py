"""The store on disk: an OCI image layout (image-spec image-layout.md) with unpacked layers beside it.

```
images/                  0700
  oci-layout index.json  every image, by name and platform; replaced whole, under index.lock
  blobs/sha256/HEX       manifests, configurations, layers as they came; 0400
  layers/CHAIN/          diff/ (one overlay lower) and meta.json; appears whole, by rename
  host/KEY/              skeletons of the image `host`
  tmp/NAME/              work in progress; its owner and who unpacks for it share flock on it: unlocked is rubbish
  tmp/HEX.part           half a download, kept for the next try
  store.lock             shared while something is added, exclusive for the sweep of gc.py
```
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.batching import Batcher
from pycompose.engine.errors import ImageError
from pycompose.engine.images.manifest import (
    Descriptor,
    parse_descriptor,
    sha256,
    verify,
)
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Change = Callable[[list[Descriptor]], list[Descriptor]]

REF_NAME = "org.opencontainers.image.ref.name"
SOURCE_DIGEST = "io.pycompose.digest"
SOURCE_STAMP = "io.pycompose.stamp"
STORED_AT = "io.pycompose.stored-at"


class ImageLayout:
    """Paths, blobs and the index below one directory. Reading needs no lock and creates nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Put together once: a build that finds all done asks for some forty places below these.
        self._layers, self._blobs = root / "layers", root / "blobs" / "sha256"
        self._index: tuple[tuple[int, int, int], tuple[Descriptor, ...]] | None = None
        self._changes: Batcher[Change, None] = Batcher(self._change_all)

    def prepare(self) -> None:
        """Create what is missing of the store; called before every write. Raises OSError."""
        if (self.root / "oci-layout").exists():
            return
        for directory in (
            self.root,
            *(self.root / name for name in ("blobs/sha256", "layers", "host", "tmp")),
        ):
            make_directory(directory)
        replace_file(self.root / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}', durable=False)

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """Keep the sweep away while something is added that nothing refers to yet."""
        self.prepare()
        with locked(self.root / "store.lock", shared=True):
            yield

    # Blobs

    def blob_path(self, digest: str) -> Path:
        """Return where the blob of `digest` lies or would lie."""
        return self._blobs / digest.removeprefix("sha256:")

    def has_blob(self, digest: str) -> bool:
        """Tell whether the blob is there; what is there was verified when it came."""
        return self.blob_path(digest).exists()

    def read_blob(self, digest: str, limit: int) -> bytes:
        """Return the content of a small blob, verified again.

        Raises ImageError, DigestMismatch, FileNotFoundError.
        """
        with open(self.blob_path(digest), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ImageError(f"image store: blob {digest} is larger than {limit} bytes")
        return verify(data, digest, f"image store: blob {digest}")

    def put_blob(self, data: bytes) -> str:
        """Store `data`, return its digest."""
        digest = sha256(data)
        if not self.has_blob(digest):
            replace_file(self.blob_path(digest), data, mode=0o400)
        return digest

    def adopt_blob(self, temporary: Path, digest: str) -> None:
        """Give the file `temporary`, whose digest the caller has verified, its place."""
        os.chmod(temporary, 0o400)
        os.replace(temporary, self.blob_path(digest))

    # Layers

    def layer(self, chain_id: str) -> Path:
        """Return the directory of an unpacked layer, there or not."""
        return self._layers / chain_id.removeprefix("sha256:")

    def layer_meta(self, chain_id: str) -> dict[str, Any] | None:
        """Return what is known of an unpacked layer, None when it isn't there."""
        try:
            return read_json(f"{self.layer(chain_id)}/meta.json")
        except FileNotFoundError:
            return None

    # Index

    def index(self) -> tuple[Descriptor, ...]:
        """Return all images, one descriptor per name and platform. Raises ImageError for a damaged index."""
        path = self.root / "index.json"
        try:
            status = os.stat(path)
            key = (status.st_ino, status.st_mtime_ns, status.st_size)
            if self._index is not None and self._index[0] == key:
                return self._index[1]
            value = json.loads(path.read_bytes())
            entries = tuple(parse_descriptor(item, str(path)) for item in value["manifests"])
        except FileNotFoundError:
            return ()
        except (ValueError, KeyError, TypeError) as exc:
            raise ImageError(
                f"{path}: cannot read the image index: damaged",
                hint=f"move it away and load the images again: mv {path} {path}.damaged",
            ) from exc
        self._index = (key, entries)
        return entries

    def change_index(self, change: Change) -> None:
        """Replace the index by `change(entries)`, with no other writer in between.

        Changes that come at the same time are written together: several builds end at once.
        """
        self._changes.do(change)

    def _change_all(self, changes: Sequence[Change]) -> list[None]:
        self.prepare()
        with locked(self.root / "index.lock"):
            entries = list(self.index())
            for change in changes:
                entries = change(entries)
            document = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [entry.to_json() for entry in entries],
            }
            replace_file(self.root / "index.json", json.dumps(document, indent=1).encode())
        return [None] * len(changes)

    # Work in progress

    @contextlib.contextmanager
    def scratch(self, purpose: str) -> Iterator[Path]:
        """Give a new directory in tmp/, held by flock while in use and removed afterwards."""
        self.prepare()
        path = self.root / "tmp" / f"{purpose}-{os.getpid()}-{os.urandom(6).hex()}"
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield path
        finally:
            remove_tree(path)
            os.close(fd)


def replace_file(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write `data` to `path`: whole or not at all, also when several do it at once.

    Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
