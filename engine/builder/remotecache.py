"""`cache_from`: what builds elsewhere have made. A layer is got when a step asks for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pycompose.engine.builder.cacheformat import DOCUMENT, RemoteLayer, inline_of, parse
from pycompose.engine.builder.cacheoptions import LOCAL, CachePlace
from pycompose.engine.builder.request import DONE, FAILED, STARTED, WARNING, BuildEvent, OnEvent
from pycompose.engine.builder.snapshot import Layer, Snapshot, known_layer
from pycompose.engine.errors import BuildError, PycomposeError
from pycompose.engine.images.layers.compress import Budget, pieces
from pycompose.engine.images.layers.ingest import Staged, commit_layers
from pycompose.engine.images.layers.workers import Worker, complete
from pycompose.engine.images.layout import REF_NAME, ImageLayout
from pycompose.engine.images.manifest import (
    INDEX_TYPES,
    LAYER_TYPES,
    MANIFEST_TYPES,
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    Descriptor,
    media_type_of,
    parse_configuration,
    parse_index,
    parse_manifest,
    select,
    verify,
)
from pycompose.engine.images.reference import parse as parse_reference
from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.images.layers.workers import GrowingBlob
    from pycompose.engine.images.registry.registry import Repository

# Below the numbers of preparations.py, which go down from -1.
FIRST_NUMBER = -1000


class CacheOrigin(Protocol):
    """Where documents and blobs come from."""

    def top(self) -> bytes:
        """Return the manifest, or the index that it is in. Raises BuildError, ImageError, OSError."""
        ...

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified."""
        ...

    def blob(self, descriptor: Descriptor) -> Path:
        """Return a file that holds a blob."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class RemoteCaches:
    """All caches of a build, opened when the first step isn't in the cache here; used by several threads.

    What can't be had is said, and costs the build nothing but the time that the cache would have saved.
    """

    def __init__(
        self, places: Sequence[CachePlace], layout: ImageLayout, fetcher: Fetcher, on_event: OnEvent
    ) -> None:
        self._places = places
        self._layout = layout
        self._fetcher = fetcher
        self._on_event = on_event
        self._lock = threading.Lock()
        self._opened: list[ImportedCache] | None = None

    def close(self) -> None:
        """Let go of connections."""
        for cache in self._opened or ():
            cache.close()

    def find(self, key: str, parent: Snapshot) -> Layer | None:
        """Return the layer of a step upon `parent`, brought here; None when no cache has it."""
        with self._lock:
            if self._opened is None:
                self._opened = [
                    cache for cache in map(self._open, self._places, count(FIRST_NUMBER, -1)) if cache
                ]
        for cache in self._opened:
            try:
                layer = self._fetcher.run(partial(cache.find, key, parent))
            except (PycomposeError, OSError) as exc:
                self._warn(f"cache_from {cache.place}: {_reason(exc)}")
                continue
            if layer is not None:
                return layer
        return None

    def _open(self, place: CachePlace, step: int) -> ImportedCache | None:
        event: dict[str, Any] = {"step": step, "title": f"importing cache manifest from {place}"}
        started = time.monotonic()
        self._on_event(BuildEvent(kind=STARTED, **event))
        try:
            opened = self._fetcher.run(lambda: ImportedCache(place, self._layout, self._fetcher))
        except (PycomposeError, OSError) as exc:
            self._on_event(BuildEvent(kind=FAILED, **event, took_s=time.monotonic() - started))
            self._warn(f"cache_from {place}: {_reason(exc)}")
            return None
        self._on_event(BuildEvent(kind=DONE, **event, took_s=time.monotonic() - started))
        return opened

    def _warn(self, text: str) -> None:
        self._on_event(BuildEvent(kind=WARNING, step=0, data=text))


def _reason(exc: PycomposeError | OSError) -> str:
    return str(exc) if isinstance(exc, PycomposeError) else f"{exc.filename}: {exc.strerror}"


class ImportedCache:
    """One cache from elsewhere; used by several threads. Raises BuildError, ImageError, OSError if it can't be read."""

    def __init__(self, place: CachePlace, layout: ImageLayout, fetcher: Fetcher) -> None:
        self.place = place
        self._layout = layout
        self._lock = threading.Lock()
        if place.kind == LOCAL:
            self._origin: CacheOrigin = _Folder(place)
        else:
            self._origin = _Registry(place, layout, fetcher)
        try:
            self._layers = self._read()
        except BaseException:
            self._origin.close()
            raise

    def close(self) -> None:
        """Let go of connections."""
        self._origin.close()

    def find(self, key: str, parent: Snapshot) -> Layer | None:
        """Return the layer of a step upon `parent`, brought here; None when the cache hasn't got it."""
        found = self._layers.get(key)
        if found is None or parent.identity:
            return None
        chain_id = parent.next_chain_id(found.diff_id)
        with self._lock:
            if known_layer(self._layout, chain_id) is None:
                self._bring(found, parent, chain_id)
        return known_layer(self._layout, chain_id)

    def _read(self) -> dict[str, RemoteLayer]:
        what = f"cache {self.place}"
        data = self._origin.top()
        if media_type_of(data, "", what) in INDEX_TYPES:
            entries = parse_index(data, what)
            chosen = entries[0] if len(entries) == 1 else select(entries, None, what)
            data = self._origin.document(chosen)
        manifest = parse_manifest(data, what)
        document = self._origin.document(manifest.config)
        try:
            if manifest.config.media_type == DOCUMENT:
                return parse(document, manifest.layers)
            configuration = parse_configuration(document, what)
            document = inline_of(configuration.document)
            if not document:
                raise BuildError(
                    "the image has no build cache in it", hint="build it with cache_to: type=inline"
                )
            return parse(document, manifest.layers, configuration.diff_ids)
        except BuildError as exc:
            raise BuildError(f"{what}: {exc.message}", hint=exc.hint) from exc

    def _bring(self, found: RemoteLayer, parent: Snapshot, chain_id: str) -> None:
        compression = LAYER_TYPES[found.blob.media_type]
        blob = self._origin.blob(found.blob)
        below = [*parent.below, *(layer.diff_id for layer in parent.layers)]
        with self._layout.scratch("cache") as scratch:
            staging = scratch / "layer"
            staging.mkdir(mode=0o700)
            with Worker() as worker:
                unpacked = worker.unpack(*_opened(blob, compression, staging))
            staged = Staged(path=staging, unpacked=unpacked)
            commit_layers(
                self._layout, [*below, found.diff_id], [*(None for _ in below), staged], f"cache {self.place}"
            )
        path = self._layout.layer(chain_id) / "meta.json"
        meta = read_json(path) | {"created_s": found.created_s, "tar_bytes": _tar_bytes(blob, compression)}
        write_json(path, meta, durable=False)


def _opened(blob: Path, compression: str, staging: Path) -> tuple[int, str, Path, GrowingBlob]:
    fd, growing = complete(blob)
    return fd, compression, staging, growing


def _tar_bytes(blob: Path, compression: str) -> int:
    """Return how long the layer's tar is, which manifests of images upon it say."""
    if not compression:
        return blob.stat().st_size
    with blob.open("rb") as file:
        return sum(len(piece) for piece in pieces(file, compression, Budget()))


class _Folder:
    """An OCI layout in a folder."""

    def __init__(self, place: CachePlace) -> None:
        self._place = place
        self._folder = Path(place.path)

    def top(self) -> bytes:
        place = self._place
        entries = parse_index(_read(self._folder / "index.json", MAX_MANIFEST_BYTES), f"cache {place}")
        for entry in entries:
            if entry.digest == place.digest or (
                not place.digest and entry.annotations.get(REF_NAME, "latest") == place.tag
            ):
                return self.document(entry)
        raise BuildError(f"cache {place}: it has no {place.digest or place.tag}")

    def document(self, descriptor: Descriptor) -> bytes:
        data = _read(self.blob(descriptor), max(MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES))
        return verify(data, descriptor.digest, f"cache {self._place}")

    def blob(self, descriptor: Descriptor) -> Path:
        return self._folder / "blobs/sha256" / descriptor.hex

    def close(self) -> None:
        pass


class _Registry:
    """A repository; layers come into the store as those of images do."""

    def __init__(self, place: CachePlace, layout: ImageLayout, fetcher: Fetcher) -> None:
        from pycompose.engine.images.registry.settings import RegistrySettings  # noqa: PLC0415 - seldom
        from pycompose.engine.images.registry.upload import open_repository  # noqa: PLC0415 - urllib3 takes its time

        self._place = place
        self._layout = layout
        self._reference = parse_reference(place.reference)
        settings = RegistrySettings.load(fetcher.environment)
        self._repository: Repository = open_repository(self._reference, settings)
        fetcher.on_cancel(self._repository.transport.abort)

    def top(self) -> bytes:
        reference = self._reference
        return self._repository.manifest(reference.digest or reference.tag, expected=reference.digest).data

    def document(self, descriptor: Descriptor) -> bytes:
        what = f"cache {self._place}"
        if descriptor.media_type in (*INDEX_TYPES, *MANIFEST_TYPES):
            return self._repository.manifest(descriptor.digest, expected=descriptor.digest).data
        if descriptor.size > MAX_CONFIG_BYTES:
            raise BuildError(
                f"{what}: its document has {descriptor.size} bytes, the limit is {MAX_CONFIG_BYTES}"
            )
        return verify(self._repository.small_blob(descriptor), descriptor.digest, what)

    def blob(self, descriptor: Descriptor) -> Path:
        from pycompose.engine.images.registry.download import Download  # noqa: PLC0415 - as above
        from pycompose.engine.images.registry.transport import Cancelled  # noqa: PLC0415 - as above

        download = Download(self._layout, descriptor, lambda _bytes: None)
        try:
            if download.open():
                download.run(self._repository, None)
        except Cancelled as exc:
            raise BuildError("canceled") from exc
        finally:
            download.close()
        return self._layout.blob_path(descriptor.digest)

    def close(self) -> None:
        self._repository.transport.close()


def _read(path: Path, limit: int) -> bytes:
    with open(
        path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    ) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BuildError(f"{path}: larger than {limit} bytes")
    return data
