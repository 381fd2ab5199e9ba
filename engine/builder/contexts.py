"""Build contexts that are no folder here: a repository, an archive, a Dockerfile alone. They are put into one.

What comes from elsewhere is not trusted: nothing in it is followed out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.remotes import git_context, is_url
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError, BuildError
from pycompose.engine.linux import fs

if TYPE_CHECKING:
    from pycompose.engine.builder.fetching import Fetcher
    from pycompose.engine.builder.git import GitAccess
    from pycompose.engine.images.layers.compress import Readable

MAX_DOCKERFILE_BYTES = 16 << 20
_HEAD_BYTES = 512
_TAR_AT = slice(257, 262)
_INSIDE = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_MAGICLINKS


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedContext:
    """A context's folder, or None and the Dockerfile's text. `name` is what was asked for, "" for a folder here."""

    folder: Path | None
    dockerfile: str = ""
    name: str = ""


def is_remote_context(text: str) -> bool:
    """Tell whether a context is fetched."""
    return git_context(text) is not None or is_url(text)


def fetch_context(
    text: str, place: Path, fetcher: Fetcher, access: GitAccess, *, keep_git_dir: bool = False
) -> OpenedContext:
    """Put the context that `text` names into the empty directory `place`. Raises BuildError, OSError."""
    source = git_context(text)
    if source is not None:
        from pycompose.engine.builder.git import Git  # noqa: PLC0415 - seldom

        git = Git(fetcher, access)
        return OpenedContext(
            folder=git.check_out(git.fetch(source), place, keep_git_dir=keep_git_dir), name=text
        )
    found = fetcher.file(text)
    with open(found.folder / found.name, "rb") as file:
        dockerfile = read_context(file, place, text)
    return OpenedContext(folder=place if dockerfile is None else None, dockerfile=dockerfile or "", name=text)


def read_context(file: Readable, place: Path, what: str) -> str | None:
    """Unpack the tar (compressed or not) in `file` into `place`; return its text when it is none: a Dockerfile.

    Raises BuildError.
    """
    from pycompose.engine.filesystem.transfer import Extractor  # noqa: PLC0415 - seldom
    from pycompose.engine.images.layers.compress import Budget, detect, pieces  # noqa: PLC0415 - as above
    from pycompose.engine.images.layers.tarstream import TarReader  # noqa: PLC0415 - as above

    head = _read(file, _HEAD_BYTES)
    compression = detect(head)
    joined = _Joined(head, file)
    if not compression and head[_TAR_AT] != b"ustar":
        data = _read(joined, MAX_DOCKERFILE_BYTES + 1)
        if len(data) > MAX_DOCKERFILE_BYTES:
            raise BuildError(f"{what}: is no archive, and too large for a Dockerfile")
        return data.decode("utf-8", "surrogateescape")
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        Extractor(fd).tar(TarReader(pieces(joined, compression, Budget())))
    except ArchiveError as exc:
        raise BuildError(f"{what}: {exc.message}", hint=exc.hint) from exc
    finally:
        os.close(fd)
    return None


def read_inside(folder: Path, name: str) -> str:
    """Return the text of a regular file of a context, no link followed out of it. Raises OSError."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = fs.openat2(root, os.fsencode(name), flags, resolve=_INSIDE)
    finally:
        os.close(root)
    with open(fd, encoding="utf-8", errors="surrogateescape", newline="") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IsADirectoryError(21, os.strerror(21), name)
        return file.read()


def _read(file: Readable, size: int) -> bytes:
    return b"".join(_parts(file, size))


def _parts(file: Readable, size: int) -> Iterator[bytes]:
    while size > 0 and (data := file.read(size)):
        size -= len(data)
        yield data


class _Joined:
    """What was read already, then the rest of a stream."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        if self._head:
            data, self._head = self._head, b""
            return data
        return self._stream.read(size)
