"""What COPY would take from a tree, as text for its key (listing.py); an unchanged directory isn't read again."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.builder.held import LARGEST
from pycompose.engine.builder.listing import head, line
from pycompose.engine.builder.statcache import DigestCache, Known, Mark, View, is_settled, mark_of, packed
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.images.layers.layertar import read_xattrs

if TYPE_CHECKING:
    from pycompose.engine.builder.held import Held
    from pycompose.engine.builder.ignore import Ignore
    from pycompose.engine.builder.tree import SourceTree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


class _Seen(NamedTuple):
    """What a directory has: names, sorted, and their marks, none of them from before `at_ns`."""

    names: list[str]
    marks: list[Mark]
    at_ns: int


@dataclass(slots=True)
class _Opened:
    """A directory that is being read; `head` is b"" once it was given out."""

    fd: int
    path: str
    head: bytes
    below: Iterator[tuple[str, bool]]


class Reader:
    """Reads sources of one instruction; `exclude` are its own patterns, beside those of the context.

    Who copies afterwards gets what was read in `held`; of a stage or an image nothing, whose files are more than that.
    """

    def __init__(self, tree: SourceTree, exclude: Ignore | None = None, held: Held | None = None) -> None:
        self._tree = tree
        self._held = None if tree.keeps_owners else held
        self._exclude = exclude
        self._known: DigestCache | None = tree.digests
        self._chooses = tree.ignore is not None or exclude is not None
        self._view = _name_of(tree.ignore, exclude) if self._chooses else ""

    def pieces(self, source: str) -> Iterator[bytes]:
        """Yield text for all that COPY would take from the path `source`: type, mode, owner, link, digest of bytes.

        Times don't count. A directory comes before those in it, and one that is left out only for what isn't in it.
        Raises OSError, BuildError.
        """
        top = self._tree.look(source)
        if not top.is_directory:
            yield self._single(source, top.status)
            return
        stack: list[_Opened] = []
        try:
            yield from self._enter(stack, self._tree.open_directory(source), source, source)
            while stack:
                here = stack[-1]
                name, out = next(here.below, ("", False))
                if name:
                    fd = os.open(name, _DIRECTORY, dir_fd=here.fd)
                    yield from self._enter(stack, fd, _join(here.path, name), source, out=out)
                else:
                    os.close(stack.pop().fd)
        finally:
            for opened in stack:
                os.close(opened.fd)

    def _enter(
        self, stack: list[_Opened], fd: int, path: str, source: str, *, out: bool = False
    ) -> Iterator[bytes]:
        here = _Opened(fd, path, b"", iter(()))
        stack.append(here)
        status = os.fstat(fd)
        inner = path[len(source) :].lstrip("/")
        here.head = head(inner, f"{stat.S_IMODE(status.st_mode):o}", self._owner(status))
        text, below = self._directory(fd, path)
        here.below = iter(below)
        if text or not out:
            for opened in stack:
                if opened.head:
                    yield opened.head
                    opened.head = b""
            yield text

    # One directory

    def _directory(self, fd: int, path: str) -> View:
        """Return the text of what isn't a directory, and the directories to read: (name, is left out itself)."""
        seen = _look(fd)
        known = self._known.get(path) if self._known is not None else None
        views: dict[str, View] = {}
        if known is not None and known.names == "\0".join(seen.names) and known.marks == packed(seen.marks):
            if self._view in known.views:
                return known.views[self._view]
            views.update(known.views)
        view, digests = self._read(fd, path, seen, known.files() if known is not None else {})
        if self._known is not None:
            views[self._view] = view
            marks = [
                mark if stat.S_ISDIR(mark[0]) or is_settled(mark, seen.at_ns) else None for mark in seen.marks
            ]
            self._known.put(path, Known("\0".join(seen.names), packed(marks), "\0".join(digests), views))
        return view

    def _read(
        self, fd: int, path: str, seen: _Seen, before: Mapping[str, tuple[Mark, str]]
    ) -> tuple[View, list[str]]:
        """Return what `_directory` does, and the digests of files; `before` are those of last time.

        The mark of a file that had to be read becomes the one from just before that.
        """
        lines: list[bytes] = []
        below: list[tuple[str, bool]] = []
        digests = [""] * len(seen.names)
        for number, (name, mark) in enumerate(zip(seen.names, seen.marks, strict=True)):
            kind = stat.S_IFMT(mark[0])
            where = _join(path, name)
            out = self._chooses and self._left_out(where)
            if kind == stat.S_IFDIR:
                if not out or self._may_hold(where):
                    below.append((name, out))
                continue
            was, digest = before.get(name, (None, ""))
            digests[number] = digest if was == mark else ""
            if out or kind == stat.S_IFSOCK:
                continue
            if kind == stat.S_IFREG and not digests[number]:
                seen.marks[number], digests[number] = self._read_file(name, fd, where)
            lines.append(self._line(name, fd, seen.marks[number], digests[number]))
        return (b"".join(lines), tuple(below)), digests

    def _left_out(self, path: str) -> bool:
        return self._tree.ignored(path) or (self._exclude is not None and self._exclude.left_out(path))

    def _may_hold(self, path: str) -> bool:
        """Tell whether something in a directory that is left out may not be."""
        if self._tree.ignored(path):
            return self._tree.has_exceptions(path)
        return self._exclude is not None and self._exclude.may_contain_exceptions(path)

    # One file

    def _single(self, path: str, status: os.stat_result) -> bytes:
        name = os.path.basename(path)
        mark: Mark = mark_of(status)
        if not stat.S_ISREG(status.st_mode):
            return self._line(name, -1, mark, "", status)
        known = self._known.get(path) if self._known is not None else None
        if known is not None and known.marks == packed([mark]):
            return self._line(name, -1, mark, known.digests, status)
        now_ns = time.time_ns()
        fd = self._tree.open_file(path)
        try:
            status = os.fstat(fd)
            digest = self._digest(fd, status)
        finally:
            os.close(fd)
        mark = mark_of(status)
        if self._known is not None and is_settled(mark, now_ns):
            self._known.put(path, Known(name, packed([mark]), digest, {}))
        return self._line(name, -1, mark, digest, status)

    def _read_file(self, name: str, directory: int, path: str) -> tuple[Mark, str]:
        """Return the digest of a file, and its mark from before it was read."""
        fd = os.open(name, _READ, dir_fd=directory)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise BuildError(f"{name}: changed while it was read")
            return mark_of(status), self._digest(fd, status, path)
        finally:
            os.close(fd)

    def _digest(self, fd: int, status: os.stat_result, path: str = "") -> str:
        """Return the SHA-256 of what `fd` holds from its start on, in hex; a small file costs one read, and is held."""
        size = status.st_size
        data = os.read(fd, min(size + 1, _PIECE))
        digest = hashlib.sha256(data)
        if len(data) != size:
            while piece := os.read(fd, _PIECE):
                digest.update(piece)
        elif path and self._held is not None and size <= LARGEST:
            self._held.put(path, status, data)
        # Contexts lose their attributes, as BuildKit's do; stages and images keep them.
        capability = read_xattrs(fd).get(b"security.capability") if self._tree.keeps_owners else None
        return digest.hexdigest() + capability.hex() if capability else digest.hexdigest()

    def _owner(self, status: os.stat_result) -> str:
        return f"{status.st_uid}:{status.st_gid}" if self._tree.keeps_owners else "0:0"

    def _line(
        self, name: str, directory: int, mark: Mark, digest: str, status: os.stat_result | None = None
    ) -> bytes:
        kind = stat.S_IFMT(mark[0])
        link = device = ""
        owner = "0:0"
        if status is None and (self._tree.keeps_owners or kind in (stat.S_IFCHR, stat.S_IFBLK)):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if status is not None:
            owner = self._owner(status)
            device = f"{status.st_rdev:x}" if kind in (stat.S_IFCHR, stat.S_IFBLK) else ""
        if kind == stat.S_IFLNK:
            link = os.readlink(name, dir_fd=directory)
        return line(name, f"{kind:o}", f"{stat.S_IMODE(mark[0]):o}", owner, link, device, digest)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _look(directory: int) -> _Seen:
    """Return what is in a directory; what goes meanwhile isn't there."""
    at_ns = time.time_ns()
    names = sorted(os.listdir(directory))
    look = partial(os.stat, dir_fd=directory, follow_symlinks=False)
    try:
        return _Seen(names, list(map(mark_of, map(look, names))), at_ns)
    except FileNotFoundError:
        found: dict[str, Mark] = {}
        for name in names:
            try:
                found[name] = mark_of(look(name))
            except FileNotFoundError:
                continue
        return _Seen(list(found), list(found.values()), at_ns)


def _name_of(*choices: Ignore | None) -> str:
    """Return what names a way to choose among files."""
    texts = [[(item.text, item.negated) for item in choice.patterns] if choice else [] for choice in choices]
    return hashlib.sha256(repr(texts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
