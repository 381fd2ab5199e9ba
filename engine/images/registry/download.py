"""One blob from a registry into the store: resumed, verified while it streams, by one process at a time.

`tmp/HEX.part` is locked by whoever writes it. What is there when a download breaks is kept for the next one;
a worker may be unpacking the file while it grows, so bytes in it are never rewritten, only appended.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from typing import TYPE_CHECKING

from pycompose.engine.errors import DigestMismatch, PullError
from pycompose.engine.images.registry.transport import ATTEMPTS, BACKOFF_S, explain
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pycompose.engine.images.layers.workers import GrowingBlob
    from pycompose.engine.images.layout import ImageLayout
    from pycompose.engine.images.manifest import Descriptor
    from pycompose.engine.images.registry.registry import Repository
    from pycompose.engine.images.registry.transport import Response

_PIECE = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Download:
    """The blob `descriptor`; `notify(bytes)` is called as it grows."""

    def __init__(self, layout: ImageLayout, descriptor: Descriptor, notify: Callable[[int], None]) -> None:
        self._layout = layout
        self._descriptor = descriptor
        self._notify = notify
        self._fd = -1
        self._size = 0
        self._digest = hashlib.sha256()
        self.path = layout.blob_path(descriptor.digest)

    def open(self) -> bool:
        """Lock the partial file, waiting for another process; False when the blob is complete by then."""
        part = self._part()
        while True:
            if self._layout.has_blob(self._descriptor.digest):
                return False
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(part).st_ino == os.fstat(fd).st_ino:
                    break
            os.close(fd)  # the one before us has completed and renamed it
        self._fd = fd
        self.path = part
        self._recall()
        return True

    def descriptor(self) -> int:
        """Return a new descriptor of the file, which stays good when that gets its final name."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Release the lock; what is there stays for the next try."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def run(self, repository: Repository, growing: GrowingBlob | None) -> None:
        """Fetch what is missing, verify, and give the blob its place. `open` has returned True.

        Raises DigestMismatch (the partial file is gone then), PullError (it stays), Cancelled, OSError.
        """
        attempt = 1
        while self._size < self._descriptor.size:
            before = self._size
            try:
                self._fetch(repository, growing)
            except (HTTPError, _Interrupted) as exc:
                attempt = 1 if self._size > before else attempt + 1
                if attempt > ATTEMPTS:
                    reason = explain(exc) if isinstance(exc, HTTPError) else str(exc)
                    raise PullError(
                        f"{repository.host}: blob {self._descriptor.digest[:19]}: {reason}",
                        hint=f"{self._size} bytes are kept; the next pull goes on from there",
                    ) from exc
                repository.transport.pause(BACKOFF_S * 2 ** (attempt - 1))
        self._complete(repository.host)

    def _part(self) -> Path:
        return self._layout.root / "tmp" / f"{self._descriptor.hex}.part"

    def _recall(self) -> None:
        """Hash what an earlier download left; start over when that is too much."""
        if os.fstat(self._fd).st_size > self._descriptor.size:
            os.ftruncate(self._fd, 0)
        while data := os.pread(self._fd, _PIECE, self._size):
            self._digest.update(data)
            self._size += len(data)

    def _fetch(self, repository: Repository, growing: GrowingBlob | None) -> None:
        response = repository.blob(self._descriptor.digest, start=self._size)
        try:
            repository.transport.watch(response)
            skip = self._to_skip(response, repository.host)
            while data := response.read1(_PIECE):
                repository.transport.check()
                if skip:
                    data, skip = data[skip:], max(0, skip - len(data))
                if data:
                    self._append(data, growing)
        finally:
            repository.transport.unwatch(response)
            response.close()
        if self._size < self._descriptor.size:
            raise _Interrupted("the connection ended early")

    def _to_skip(self, response: Response, host: str) -> int:
        """Return how many bytes of the answer we have already. Raises PullError."""
        if response.status == 200:
            return self._size
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status == 206 and match is not None and int(match[1]) == self._size:
            return 0
        raise PullError(
            f"{host}: blob {self._descriptor.digest[:19]}: it answered another range than asked for"
        )

    def _append(self, data: bytes, growing: GrowingBlob | None) -> None:
        if self._size + len(data) > self._descriptor.size:
            self._reject(f"more than the {self._descriptor.size} bytes of its descriptor")
        view = memoryview(data)
        position = self._size
        while view:
            written = os.pwrite(self._fd, view, position)
            position += written
            view = view[written:]
        self._digest.update(data)
        self._size += len(data)
        if growing is not None:
            growing.advance(self._size)
        self._notify(self._size)

    def _complete(self, host: str) -> None:
        found = f"sha256:{self._digest.hexdigest()}"
        if found != self._descriptor.digest:
            self._reject(f"wrong content from {host}: found {found}")
        os.fsync(self._fd)
        self._layout.adopt_blob(self.path, self._descriptor.digest)
        self.path = self._layout.blob_path(self._descriptor.digest)

    def _reject(self, reason: str) -> None:
        os.unlink(self._part())
        raise DigestMismatch(f"blob {self._descriptor.digest}: {reason}")


class _Interrupted(Exception):  # noqa: N818 - it never leaves this module
    """A download ended before its end; it will be resumed."""
