"""The directories of one layer while it is unpacked, walked by descriptors and never left.

The layer's own symbolic links are followed as if its directory were "/"; a path can't leave it, because no
component is ever opened but by name in a descriptor, with O_NOFOLLOW.
"""

from __future__ import annotations

import errno
import os
from collections import deque

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import ArchiveError

MAX_COMPONENT = 255
MAX_SYMLINKS = 40
CACHED = 256
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class DirectoryMetadata:
    """What a directory gets at the end, when nothing is written into it any more."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


def components(name: bytes) -> list[bytes]:
    """Return the components of a member's name: a leading `/` and `.` mean nothing, `..` is refused.

    The root is an empty list. Raises ArchiveError.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ArchiveError("its name contains '..'")
    if not name:
        raise ArchiveError("it has no name")
    if len(name) > MAX_COMPONENT and any(len(part) > MAX_COMPONENT for part in parts):
        raise ArchiveError(f"a component of its name is longer than {MAX_COMPONENT} bytes")
    return parts


class LayerTree:
    """What is known of the layer's directories.

    `directories` maps canonical paths (relative, "" is the root) to the metadata they get at the end; None
    is an implied directory, made because something lies in it.
    """

    def __init__(self, root_fd: int) -> None:
        self.root = root_fd
        self.directories: dict[bytes, DirectoryMetadata | None] = {b"": None}
        self._cache: dict[bytes, tuple[int, bytes]] = {}
        self._retired: list[int] = []

    def parent(self, parts: list[bytes]) -> tuple[int, bytes]:
        """Return descriptor and canonical path of a directory, made where it is missing.

        The descriptor is valid until the next call. Raises ArchiveError when something else is in the way.
        """
        if self._retired:
            self._close_retired()
        if not parts:
            return self.root, b""
        key = b"/".join(parts)
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        if len(self._cache) >= CACHED:
            self.forget_open()
        found = self._walk(parts, create=True)
        if found is None:
            raise ArchiveError("its parent directory cannot be made")
        self._cache[key] = found
        return found

    def find(self, parts: list[bytes]) -> tuple[int, bytes] | None:
        """Return a directory that the layer has, else None. Valid until the next call of `parent`."""
        if not parts:
            return self.root, b""
        key = b"/".join(parts)
        cached = self._cache.get(key)
        if cached is None and (cached := self._walk(parts, create=False)) is not None:
            self._cache[key] = cached
        return cached

    def forget_below(self, path: bytes) -> None:
        """Forget the directory `path` and all below it, which are about to be removed."""
        below = path + b"/"
        for known in [p for p in self.directories if p == path or p.startswith(below)]:
            del self.directories[known]
        self.forget_open()

    def forget_open(self) -> None:
        """Trust no cached way any more; descriptors in use stay open until the next `parent`."""
        self._retired += [fd for fd, _ in self._cache.values()]
        self._cache.clear()

    def close(self) -> None:
        """Close all descriptors but the root's."""
        self.forget_open()
        self._close_retired()

    def _close_retired(self) -> None:
        for fd in self._retired:
            os.close(fd)
        self._retired.clear()

    def _walk(self, parts: list[bytes], *, create: bool) -> tuple[int, bytes] | None:
        """Go to a directory one component at a time; the caller owns the descriptor."""
        fd, where, parts = self._start(parts)
        pending = deque(parts)
        links = 0
        try:
            while pending:
                name = pending.popleft()
                if name == b"..":
                    fd = self._reopen(fd, where[:-1])
                    del where[-1:]
                    continue
                try:
                    child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    if not create:
                        return None
                    os.mkdir(name, 0o700, dir_fd=fd)
                    self.directories[b"/".join([*where, name])] = None
                    child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
                except OSError as exc:
                    if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                        raise
                    links += 1
                    target = _link_target(fd, name, links)
                    if target.startswith(b"/"):
                        fd = self._reopen(fd, [])
                        where.clear()
                    pending.extendleft(
                        reversed([part for part in target.split(b"/") if part not in (b"", b".")])
                    )
                    continue
                os.close(fd)
                fd = child
                where.append(name)
            result, fd = (fd, b"/".join(where)), -1
            return result
        finally:
            if fd >= 0:
                os.close(fd)

    def _start(self, parts: list[bytes]) -> tuple[int, list[bytes], list[bytes]]:
        """Begin at the parent where it is cached, else at the root."""
        cached = self._cache.get(b"/".join(parts[:-1]))
        if cached is None:
            return os.dup(self.root), [], parts
        fd, path = cached
        return os.dup(fd), path.split(b"/") if path else [], parts[-1:]

    def _reopen(self, old: int, where: list[bytes]) -> int:
        """Return the directory `where`, which exists and is canonical, and close `old`."""
        fd = os.dup(self.root)
        os.close(old)
        for name in where:
            child = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = child
        return fd


def _link_target(fd: int, name: bytes, links: int) -> bytes:
    if links > MAX_SYMLINKS:
        raise ArchiveError("too many symbolic links on the way to its parent")
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError as exc:
        raise ArchiveError(f"its parent {os.fsdecode(name)!r} is not a directory") from exc
