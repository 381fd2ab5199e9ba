"""Images to registries: the blobs that are missing there, the configuration, then the manifest under its name.

distribution-spec 1.1 "Push": a blob that another repository of the same registry has is mounted, not sent.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from pycompose.engine.errors import ImageError, PullError
from pycompose.engine.images.layers.blobs import ensure_blobs
from pycompose.engine.images.layout import SOURCE_DIGEST
from pycompose.engine.images.manifest import MAX_MANIFEST_BYTES, Descriptor
from pycompose.engine.images.reference import ReferenceKind
from pycompose.engine.images.registry.pull import Progress
from pycompose.engine.images.registry.registry import Repository, registry_host
from pycompose.engine.images.registry.upload import Uploader, open_repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.images.reference import Reference
    from pycompose.engine.images.registry.settings import RegistrySettings
    from pycompose.engine.images.store import ImageStore, StoredImage

UPLOADS = 4


def push(
    store: ImageStore, settings: RegistrySettings, reference: Reference, notify: Callable[[Progress], None]
) -> str:
    """Push the local image `reference` under that name; return the manifest's digest.

    Raises NoSuchImage, AuthError, PullError, ImageError when a blob is missing.
    """
    if reference.kind is not ReferenceKind.REGISTRY or reference.digest:
        raise ImageError(f"image {reference}: cannot be pushed", hint="give it a name: pycompose image tag")
    image = store.get(reference.familiar)
    repository = open_repository(reference, settings, actions="pull,push")
    try:
        return _Push(store, image, repository, notify).run(reference)
    except PullError as exc:
        raise type(exc)(f"image {reference}: cannot push: {exc.message}", hint=exc.hint) from exc
    finally:
        repository.transport.close()


class _Push:
    def __init__(
        self,
        store: ImageStore,
        image: StoredImage,
        repository: Repository,
        notify: Callable[[Progress], None],
    ) -> None:
        self._store = store
        self._image = image
        self._repository = repository
        self._notify = notify
        sources = _mount_sources(store, repository)
        mine = {sources[layer.digest] for layer in image.manifest.layers if layer.digest in sources}
        repository.extra_scopes = tuple(f"repository:{path}:pull" for path in sorted(mine))
        self._uploader = Uploader(store.layout, repository, sources, self._tell)

    def run(self, reference: Reference) -> str:
        ensure_blobs(self._store.layout, self._image, f"image {reference}")
        layers = list({layer.digest: layer for layer in self._image.manifest.layers}.values())
        for layer in layers:
            self._tell(layer, "Preparing")
        executor = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        try:
            futures = [executor.submit(self._uploader.blob, layer) for layer in layers]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            self._repository.transport.abort()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        self._uploader.blob(self._image.manifest.config)
        data = self._store.layout.read_blob(self._image.entry.digest, MAX_MANIFEST_BYTES)
        self._uploader.manifest(reference.tag, data, self._image.manifest.media_type)
        self._remember(reference)
        self._store.note("push", self._image.image, reference.familiar_name, reference.familiar)
        return self._image.entry.digest

    def _remember(self, reference: Reference) -> None:
        """Note that a registry knows the image by its digest now."""
        data = self._store.layout.read_blob(self._image.entry.digest, MAX_MANIFEST_BYTES)
        if SOURCE_DIGEST not in self._image.entry.annotations:
            self._store.add(data, reference, source_digest=self._image.entry.digest)

    def _tell(self, descriptor: Descriptor, text: str, current: int = 0) -> None:
        self._notify(Progress(layer=descriptor.hex[:12], text=text, current=current, total=descriptor.size))


def _mount_sources(store: ImageStore, repository: Repository) -> dict[str, str]:
    """Return, by digest, another repository of the same registry that should have the blob."""
    sources: dict[str, str] = {}
    for item in store.list():
        known = item.reference
        if known is None or not item.image.digests or known.kind is not ReferenceKind.REGISTRY:
            continue
        if registry_host(known.domain) == repository.host and known.path != repository.path:
            sources.update(dict.fromkeys((layer.digest for layer in item.manifest.layers), known.path))
    return sources
