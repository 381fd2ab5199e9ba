"""Images to registries: the blobs that are missing there, the configuration, then the manifest under its name.

distribution-spec 1.1 "Push": a blob that another repository of the same registry has is mounted, not sent.
"""

from __future__ import annotations

import os
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from pycompose.engine.errors import ImageError, PullError
from pycompose.engine.images.layers.blobs import ensure_blobs
from pycompose.engine.images.layout import SOURCE_DIGEST
from pycompose.engine.images.manifest import MAX_MANIFEST_BYTES, Descriptor
from pycompose.engine.images.reference import ReferenceKind
from pycompose.engine.images.registry.auth import CredentialStore
from pycompose.engine.images.registry.pull import Progress
from pycompose.engine.images.registry.registry import Repository, registry_host
from pycompose.engine.images.registry.transport import ATTEMPTS, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.images.reference import Reference
    from pycompose.engine.images.registry.settings import RegistrySettings
    from pycompose.engine.images.store import ImageStore, StoredImage

UPLOADS = 4
CHUNK = 16 * 1024 * 1024
# One request per blob up to here; larger ones go in chunks, which can be resumed.
MONOLITHIC = 8 * 1024 * 1024


def push(
    store: ImageStore, settings: RegistrySettings, reference: Reference, notify: Callable[[Progress], None]
) -> str:
    """Push the local image `reference` under that name; return the manifest's digest.

    Raises NoSuchImage, AuthError, PullError, ImageError when a blob is missing.
    """
    if reference.kind is not ReferenceKind.REGISTRY or reference.digest:
        raise ImageError(f"image {reference}: cannot be pushed", hint="give it a name: pycompose image tag")
    image = store.get(reference.familiar)
    transport = Transport(settings)
    credentials = CredentialStore(settings.environment)
    repository = Repository(
        transport,
        registry_host(reference.domain),
        reference.path,
        credentials=lambda: credentials.get(reference.domain),
        actions="pull,push",
    )
    try:
        return _Push(store, image, repository, notify).run(reference)
    except PullError as exc:
        raise type(exc)(f"image {reference}: cannot push: {exc.message}", hint=exc.hint) from exc
    finally:
        transport.close()


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
        self._sources = _mount_sources(store, repository)
        mine = {
            self._sources[layer.digest] for layer in image.manifest.layers if layer.digest in self._sources
        }
        repository.extra_scopes = tuple(f"repository:{path}:pull" for path in sorted(mine))

    def run(self, reference: Reference) -> str:
        ensure_blobs(self._store.layout, self._image, f"image {reference}")
        layers = list({layer.digest: layer for layer in self._image.manifest.layers}.values())
        for layer in layers:
            self._tell(layer, "Preparing")
        executor = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        try:
            futures = [executor.submit(self._blob, layer) for layer in layers]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            self._repository.transport.abort()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        self._blob(self._image.manifest.config)
        data = self._store.layout.read_blob(self._image.entry.digest, MAX_MANIFEST_BYTES)
        response = self._repository.send(
            "PUT",
            f"manifests/{reference.tag}",
            headers={"Content-Type": self._image.manifest.media_type},
            body=data,
        )
        self._repository.expect(response, 201, f"manifest {reference.tag}")
        response.drain_conn()
        self._remember(reference)
        return self._image.entry.digest

    def _remember(self, reference: Reference) -> None:
        """Note that a registry knows the image by its digest now."""
        data = self._store.layout.read_blob(self._image.entry.digest, MAX_MANIFEST_BYTES)
        if SOURCE_DIGEST not in self._image.entry.annotations:
            self._store.add(data, reference, source_digest=self._image.entry.digest)

    def _tell(self, descriptor: Descriptor, text: str, current: int = 0) -> None:
        self._notify(Progress(layer=descriptor.hex[:12], text=text, current=current, total=descriptor.size))

    def _blob(self, descriptor: Descriptor) -> None:
        path = self._store.layout.blob_path(descriptor.digest)
        if not path.exists():
            raise ImageError(
                f"blob {descriptor.digest} is missing in the store", hint="pull or load the image again"
            )
        head = self._repository.send("HEAD", f"blobs/{descriptor.digest}")
        head.drain_conn()
        if head.status == 200:
            self._tell(descriptor, "Layer already exists")
            return
        location = self._start(descriptor)
        if location is None:
            self._tell(descriptor, "Mounted")
            return
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._send(descriptor, location, fd)
        finally:
            os.close(fd)
        self._tell(descriptor, "Pushed", descriptor.size)

    def _start(self, descriptor: Descriptor) -> str | None:
        """Begin an upload and return its URL, None when the registry has mounted the blob from elsewhere."""
        query = ""
        source = self._sources.get(descriptor.digest)
        if source:
            query = "?" + urlencode({"mount": descriptor.digest, "from": source})
        response = self._repository.send("POST", f"blobs/uploads/{query}", headers={"Content-Length": "0"})
        if response.status == 201 and query:
            response.drain_conn()
            return None
        self._repository.expect(response, 202, f"upload of {descriptor.digest[:19]}")
        location = response.headers.get("Location", "")
        response.drain_conn()
        return urljoin(self._repository.url(""), location)

    def _send(self, descriptor: Descriptor, location: str, fd: int) -> None:
        """Send the blob to the upload at `location`: in one request, or in chunks."""
        offset = 0
        tries = 0
        while descriptor.size > MONOLITHIC and offset < descriptor.size:
            chunk = os.pread(fd, CHUNK, offset)
            try:
                location = self._chunk(descriptor, location, chunk, offset)
                offset += len(chunk)
            except PullError:
                tries += 1
                if tries > ATTEMPTS:
                    raise
                location, offset = self._resume(location)
            self._tell(descriptor, "Pushing", offset)
        rest = os.pread(fd, descriptor.size - offset, offset) if offset < descriptor.size else b""
        separator = "&" if "?" in location else "?"
        response = self._repository.send(
            "PUT",
            f"{location}{separator}{urlencode({'digest': descriptor.digest})}",
            headers={"Content-Type": "application/octet-stream"},
            body=rest,
        )
        self._repository.expect(response, 201, f"upload of {descriptor.digest[:19]}")
        response.drain_conn()

    def _chunk(self, descriptor: Descriptor, location: str, chunk: bytes, offset: int) -> str:
        response = self._repository.send(
            "PATCH",
            location,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{offset}-{offset + len(chunk) - 1}",
            },
            body=chunk,
        )
        self._repository.expect(response, 202, f"upload of {descriptor.digest[:19]}")
        new = response.headers.get("Location", "")
        response.drain_conn()
        return urljoin(location, new)

    def _resume(self, location: str) -> tuple[str, int]:
        """Ask an upload how far it is; return its URL now and the next byte to send."""
        response = self._repository.send("GET", location)
        self._repository.expect(response, 204, "state of an upload")
        new = response.headers.get("Location", location)
        last = response.headers.get("Range", "0-0").removeprefix("bytes=").partition("-")[2]
        response.drain_conn()
        return urljoin(location, new), int(last) + 1 if last.isdigit() and last != "0" else 0


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
