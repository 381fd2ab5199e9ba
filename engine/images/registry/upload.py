"""Blobs and manifests into a repository: what is there is not sent again, what breaks is taken up where it broke.

distribution-spec 1.1 "Push": a blob that another repository of the same registry has is mounted, not sent.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin

from pycompose.engine.errors import ImageError, PullError
from pycompose.engine.images.registry.auth import CredentialStore
from pycompose.engine.images.registry.registry import Repository, registry_host
from pycompose.engine.images.registry.transport import ATTEMPTS, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.images.manifest import Descriptor
    from pycompose.engine.images.reference import Reference
    from pycompose.engine.images.registry.settings import RegistrySettings

CHUNK = 16 * 1024 * 1024
# One request per blob up to here; larger ones go in chunks, which can be resumed.
MONOLITHIC = 8 * 1024 * 1024


def open_repository(reference: Reference, settings: RegistrySettings, *, actions: str = "pull") -> Repository:
    """Return the repository of a name with connections of its own (the caller closes them). Raises ImageError."""
    if reference.domain == "":
        raise ImageError(f"{reference}: is no name in a registry")
    credentials = CredentialStore(settings.environment)
    return Repository(
        Transport(settings),
        registry_host(reference.domain),
        reference.path,
        credentials=lambda: credentials.get(reference.domain),
        actions=actions,
    )


class Uploader:
    """Puts things of the store into one repository; used by several threads.

    `sources` names, by digest, other repositories of the registry that should have a blob; `tell(blob, text, bytes)`
    hears how far it is.
    """

    def __init__(
        self,
        layout: ImageLayout,
        repository: Repository,
        sources: Mapping[str, str] | None = None,
        tell: Callable[[Descriptor, str, int], None] | None = None,
    ) -> None:
        self._layout = layout
        self._repository = repository
        self._sources = sources or {}
        self._tell = tell or (lambda _descriptor, _text, _bytes: None)

    def manifest(self, tag: str, data: bytes, media_type: str) -> None:
        """Put a manifest under a tag. Raises AuthError, PullError."""
        response = self._repository.send(
            "PUT", f"manifests/{tag}", headers={"Content-Type": media_type}, body=data
        )
        self._repository.expect(response, 201, f"manifest {tag}")
        response.drain_conn()

    def blob(self, descriptor: Descriptor) -> None:
        """Send a blob of the store unless it is there. Raises AuthError, PullError, ImageError when it is missing."""
        path = self._layout.blob_path(descriptor.digest)
        if not path.exists():
            raise ImageError(
                f"blob {descriptor.digest} is missing in the store", hint="pull or load the image again"
            )
        head = self._repository.send("HEAD", f"blobs/{descriptor.digest}")
        head.drain_conn()
        if head.status == 200:
            self._tell(descriptor, "Layer already exists", 0)
            return
        location = self._start(descriptor)
        if location is None:
            self._tell(descriptor, "Mounted", 0)
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
