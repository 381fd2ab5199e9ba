"""Images from registries: manifest, configuration, then layers in parallel, unpacked while they arrive."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Self

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError, DigestMismatch, ImageError, PullError
from pycompose.engine.images.layers.ingest import Staged, commit_layers, layer_name
from pycompose.engine.images.layers.pool import UnpackPool
from pycompose.engine.images.layers.workers import DownloadFailed, GrowingBlob, Unpacked, complete
from pycompose.engine.images.manifest import (
    INDEX_TYPES,
    LAYER_TYPES,
    MAX_CONFIG_BYTES,
    Configuration,
    Descriptor,
    Manifest,
    chain_ids,
    media_type_of,
    parse_configuration,
    parse_index,
    parse_manifest,
    select,
    verify,
)
from pycompose.engine.images.reference import HUB, Reference, ReferenceKind
from pycompose.engine.images.registry.auth import CredentialStore
from pycompose.engine.images.registry.download import Download
from pycompose.engine.images.registry.registry import (
    FetchedDocument,
    NotInRegistry,
    Repository,
    registry_host,
)
from pycompose.engine.images.registry.transport import Cancelled, Transport
from pycompose.engine.images.spec import Platform
from pycompose.engine.statefiles import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from pycompose.engine.images.registry.auth import Credentials
    from pycompose.engine.images.registry.settings import RegistrySettings
    from pycompose.engine.images.spec import Image
    from pycompose.engine.images.store import ImageStore

    Notify = Callable[["Progress"], None]

DOWNLOADS = 4
NOTIFY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a layer is: `layer` is twelve digits of its digest, "" for the image. Texts are Docker's."""

    layer: str
    text: str
    current: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The documents of an image, and where they came from."""

    repository: Repository
    manifest_data: bytes
    manifest: Manifest
    config_data: bytes
    configuration: Configuration
    source_digest: str


@dataclass(slots=True)
class _PulledLayer:
    """One layer on its way."""

    number: int
    descriptor: Descriptor
    chain_id: str
    unpacked: bool
    scratch: Path
    outcome: Future[Unpacked] | None = None
    tries: int = 0

    @property
    def short(self) -> str:
        return self.descriptor.hex[:12]


class Puller:
    """Pulls any number of images, from several threads; a context manager.

    At most DOWNLOADS blobs are on their way at the same time. Leaving the block with an exception cancels.
    """

    def __init__(self, store: ImageStore, settings: RegistrySettings) -> None:
        self._store = store
        self._layout = store.layout
        self._settings = settings
        self._credentials = CredentialStore(settings.environment)
        self.transport = Transport(settings)
        self._downloads = ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download")
        self._pool = UnpackPool()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.transport.abort()
        self._downloads.shutdown(cancel_futures=kind is not None)
        self._pool.__exit__(kind, value, traceback)
        self.transport.close()

    def pull(self, reference: Reference, notify: Notify, *, platform: Platform | None = None) -> Image:
        """Bring an image of a registry into the store, or up to date. Returns it.

        Raises PullError, AuthError, DigestMismatch, ArchiveError, ImageError, Cancelled.
        """
        if reference.kind is not ReferenceKind.REGISTRY:
            raise ImageError(
                f"image {reference}: it is not in a registry", hint="load it, or use it as it is"
            )
        what = f"image {reference}"
        repositories = self._repositories(reference)
        if self._store.find(reference, platform) is None:
            self._pool.warm(2)
        try:
            fetched = self._documents(repositories, reference, platform, what)
            with self._layout.adding(), self._layout.scratch("pull") as scratch:
                lock = self._layout.root / "tmp" / f"{fetched.manifest.config.hex}.lock"
                with locked(lock):
                    try:
                        self._layers(fetched, repositories[-1], scratch, notify, what)
                    finally:
                        lock.unlink(missing_ok=True)
                self._layout.put_blob(fetched.config_data)
                image = self._store.add(fetched.manifest_data, reference, source_digest=fetched.source_digest)
                self._store.note("pull", image, reference.familiar_name, reference.familiar)
                return image
        except OSError as exc:
            raise ImageError(f"{what}: cannot store it: {exc.filename}: {exc.strerror}") from exc
        except ImageError as exc:
            if exc.message.startswith(what):
                raise
            raise type(exc)(f"{what}: {exc.message}", hint=exc.hint) from exc

    # Documents

    def _repositories(self, reference: Reference) -> list[Repository]:
        """Return where to look: mirrors of Docker Hub first, the registry itself last."""
        asked: list[Credentials | None] = []

        def credentials() -> Credentials | None:
            if not asked:
                asked.append(self._credentials.get(reference.domain))
            return asked[0]

        mirrors = self._settings.mirrors if reference.domain == HUB else ()
        found = [
            Repository(self.transport, mirror, reference.path, credentials=lambda: None) for mirror in mirrors
        ]
        host = registry_host(reference.domain)
        return [*found, Repository(self.transport, host, reference.path, credentials=credentials)]

    def _documents(
        self, repositories: list[Repository], reference: Reference, platform: Platform | None, what: str
    ) -> Fetched:
        for repository in repositories[:-1]:
            with contextlib.suppress(
                ImageError
            ):  # a mirror may lack it or be down; the registry itself decides
                return self._fetch(repository, reference, platform, what)
        return self._fetch(repositories[-1], reference, platform, what)

    def _fetch(
        self, repository: Repository, reference: Reference, platform: Platform | None, what: str
    ) -> Fetched:
        try:
            top = repository.manifest(reference.digest or reference.tag, expected=reference.digest)
        except NotInRegistry as exc:
            raise NotInRegistry(f"{what}: {exc.message}", hint=exc.hint) from exc
        document = self._choose(repository, top, platform, what)
        manifest = parse_manifest(document.data, what, document.media_type)
        config = self._config(repository, manifest.config, what)
        configuration = parse_configuration(config, what)
        if len(configuration.diff_ids) != len(manifest.layers):
            raise ImageError(
                f"{what}: {len(manifest.layers)} layers, the configuration has {len(configuration.diff_ids)}"
            )
        if platform is not None and not _runs(configuration.platform, platform):
            raise ImageError(f"{what}: it is for {configuration.platform}, not for {platform}")
        return Fetched(
            repository=repository,
            manifest_data=document.data,
            manifest=manifest,
            config_data=config,
            configuration=configuration,
            source_digest=top.digest,
        )

    def _choose(
        self, repository: Repository, top: FetchedDocument, platform: Platform | None, what: str
    ) -> FetchedDocument:
        """Return the manifest: the document itself, or the one of an index for the platform."""
        document = top
        for _ in range(2):
            kind = media_type_of(document.data, document.media_type, what)
            if kind not in INDEX_TYPES:
                return document
            chosen = select(parse_index(document.data, what, kind), platform, what)
            document = repository.manifest(chosen.digest, expected=chosen.digest)
            if len(document.data) != chosen.size:
                raise DigestMismatch(
                    f"{what}: manifest {chosen.digest}: not the {chosen.size} bytes of the index"
                )
        return document

    def _config(self, repository: Repository, descriptor: Descriptor, what: str) -> bytes:
        if self._layout.has_blob(descriptor.digest):
            return self._layout.read_blob(descriptor.digest, MAX_CONFIG_BYTES)
        place = f"{what}: configuration"
        try:
            return verify(repository.small_blob(descriptor), descriptor.digest, place)
        except DigestMismatch:  # as with layers: once may be an accident on the way
            return verify(repository.small_blob(descriptor), descriptor.digest, place)

    # Layers

    def _layers(self, fetched: Fetched, origin: Repository, scratch: Path, notify: Notify, what: str) -> None:
        chain = chain_ids(fetched.configuration.diff_ids)
        layers = [
            _PulledLayer(number, descriptor, chain_id, self._layout.layer_meta(chain_id) is not None, scratch)
            for number, (descriptor, chain_id) in enumerate(zip(fetched.manifest.layers, chain, strict=True))
        ]
        stop = threading.Event()
        missing = []
        for layer in layers:
            if layer.unpacked and self._layout.has_blob(layer.descriptor.digest):
                notify(Progress(layer=layer.short, text="Already exists"))
            else:
                notify(Progress(layer=layer.short, text="Pulling fs layer", total=layer.descriptor.size))
                missing.append(layer)
        futures = [
            self._downloads.submit(self._layer, layer, fetched.repository, origin, notify, stop)
            for layer in missing
        ]
        try:
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            _raise_first(ended)
            staged = [self._finished(layer, len(layers), notify, what) for layer in layers]
        except BaseException:
            # Whoever still unpacks writes to `scratch`, which the caller removes.
            stop.set()
            wait([future for future in futures if not future.cancel()])
            wait([layer.outcome for layer in layers if layer.outcome is not None])
            raise
        commit_layers(self._layout, fetched.configuration.diff_ids, staged, what)
        for layer in missing:
            notify(Progress(layer=layer.short, text="Pull complete"))

    def _layer(
        self,
        layer: _PulledLayer,
        repository: Repository,
        origin: Repository,
        notify: Notify,
        stop: threading.Event,
    ) -> None:
        """Download one layer and have it unpacked; a wrong digest gets one more try.

        From the registry itself.
        """
        told_s = 0.0

        def tell(current: int) -> None:
            nonlocal told_s
            if stop.is_set():
                raise Cancelled
            if (now := time.monotonic()) - told_s >= NOTIFY_S:
                told_s = now
                total = layer.descriptor.size
                notify(Progress(layer=layer.short, text="Downloading", current=current, total=total))

        try:
            self._download(layer, repository, tell)
        except (DigestMismatch, NotInRegistry):
            if layer.outcome is not None:
                with contextlib.suppress(ImageError, DownloadFailed):
                    layer.outcome.result()
            self._download(layer, origin, tell)
        total = layer.descriptor.size
        notify(Progress(layer=layer.short, text="Download complete", current=total, total=total))

    def _download(self, layer: _PulledLayer, repository: Repository, tell: Callable[[int], None]) -> None:
        layer.tries += 1
        staging = layer.scratch / f"layer-{layer.number}-{layer.tries}"
        staging.mkdir(mode=0o700)
        download = Download(self._layout, layer.descriptor, tell)
        compression = LAYER_TYPES[layer.descriptor.media_type]
        try:
            if not download.open():
                self._unpack(layer, *complete(download.path), compression, staging)
                return
            growing = GrowingBlob()
            self._unpack(layer, download.descriptor(), growing, compression, staging)
            try:
                download.run(repository, growing)
            except BaseException:
                growing.fail()
                raise
            growing.finish()
        finally:
            download.close()

    def _unpack(
        self, layer: _PulledLayer, blob: int, growing: GrowingBlob, compression: str, staging: Path
    ) -> None:
        if layer.unpacked:
            os.close(blob)
        else:
            layer.outcome = self._pool.submit(blob, compression, staging, growing)

    def _finished(self, layer: _PulledLayer, total: int, notify: Notify, what: str) -> Staged | None:
        if layer.outcome is None:
            return None
        notify(Progress(layer=layer.short, text="Extracting"))
        try:
            unpacked = layer.outcome.result()
        except ArchiveError as exc:
            place = f"{what}: {layer_name(layer.number, total, layer.descriptor.digest)}"
            raise ArchiveError(f"{place}: {exc.message}", hint=exc.hint) from exc
        except DownloadFailed as exc:
            raise PullError(f"{what}: its download was abandoned") from exc
        return Staged(path=layer.scratch / f"layer-{layer.number}-{layer.tries}", unpacked=unpacked)


def _raise_first(futures: Iterable[Future[None]]) -> None:
    """Raise why the first layer failed; those that were stopped because of it are no reason."""
    failures = [
        exc for future in futures if not future.cancelled() and (exc := future.exception()) is not None
    ]
    for failure in sorted(failures, key=lambda exc: isinstance(exc, Cancelled)):
        raise failure


def _runs(have: Platform, wanted: Platform) -> bool:
    if (have.os, have.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or not have.variant or have.variant <= wanted.variant
