"""A tree that COPY reads from: the build context, another stage, an image. Nothing is ever followed out of it.

Paths are relative, `/` between components, "" is the tree itself.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pycompose.engine.builder.globs import has_glob, segment_regex
from pycompose.engine.builder.ignore import Ignore
from pycompose.engine.builder.statcache import DigestCache
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.linux import fs

if TYPE_CHECKING:
    from pycompose.engine.builder.held import Held

_IN_ROOT = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Found:
    """One file, directory or link of a tree. `path` is where it lies, `link` the text of a symbolic link.

    A context makes tens of thousands of them, hence an `__init__` of its own.
    """

    path: str
    status: os.stat_result
    link: str = ""

    def __init__(self, path: str, status: os.stat_result, link: str = "") -> None:
        self.path = path
        self.status = status
        self.link = link

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


class SourceTree:
    """A tree behind a directory descriptor (not closed here). `ignore` is the context's .dockerignore.

    `keeps_owners`: files of a context belong to root and have no extended attributes, those of a stage are as there.
    `has_root`: a context is sent as what is in it, so its own folder has no time; that of a stage or a checkout has.
    """

    def __init__(
        self,
        root: int,
        *,
        ignore: Ignore | None = None,
        keeps_owners: bool = False,
        has_root: bool = False,
        digests: DigestCache | None = None,
        what: str = "the build context",
    ) -> None:
        self.root = root
        self.ignore = ignore
        self.keeps_owners = keeps_owners
        self.has_root = has_root or keeps_owners
        self.what = what
        self.digests = digests

    # What a source names

    def match(self, pattern: str) -> list[str]:
        """Return the paths that a source means, sorted; a pattern may mean none, a name may not (BuildError).

        Go's filepath.Match component by component; a leading slash is the tree's own.
        """
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        clean: list[str] = []
        for part in parts:
            if part == "..":
                del clean[-1:]  # a context has no outside (Dockerfile reference, COPY)
            else:
                clean.append(part)
        if not has_glob(pattern):
            path = "/".join(clean)
            if self._exists(path):
                return [path]
            raise self._missing(pattern, path)
        found = [""]
        for part in clean:
            found = [path for base in found for path in self._children(base, part)]
        found = [path for path in found if not self.ignored(path)]
        return sorted(found)

    def _children(self, base: str, part: str) -> list[str]:
        prefix = f"{base}/" if base else ""
        if not has_glob(part):
            return [prefix + part] if self._exists(prefix + part) else []
        regex = re.compile(segment_regex(part) + r"\Z", re.DOTALL)
        try:
            fd = self._open(base, _DIRECTORY)
        except OSError:
            return []
        try:
            return [prefix + name for name in sorted(os.listdir(fd)) if regex.match(name)]
        finally:
            os.close(fd)

    def _exists(self, path: str) -> bool:
        try:
            self.look(path)
        except (OSError, BuildError):
            return False
        return not path or not self.ignored(path) or self.has_exceptions(path)

    def has_exceptions(self, path: str) -> bool:
        """Tell whether something in a directory that .dockerignore leaves out may not be."""
        return self.ignore is not None and self.ignore.may_contain_exceptions(path)

    def ignored(self, path: str) -> bool:
        """Tell whether .dockerignore leaves `path` out."""
        return self.ignore is not None and bool(path) and self.ignore.left_out(path)

    def _missing(self, pattern: str, path: str) -> BuildError:
        if path and self.ignored(path):
            try:
                self.look(path)
            except (OSError, BuildError):
                pass
            else:
                return BuildError(
                    f'"/{path}": not found: .dockerignore leaves it out',
                    hint=f"take it back with a line !{path}",
                )
        above, _, name = path.rpartition("/")
        near: list[str] = []
        try:
            fd = self._open(above, _DIRECTORY)
        except OSError:
            pass
        else:
            try:
                near = difflib.get_close_matches(name, os.listdir(fd), n=1)
            finally:
                os.close(fd)
        prefix = f"{above}/" if above else ""
        return BuildError(
            f'"/{path or pattern}": not found in {self.what}',
            hint=f"did you mean {prefix + near[0]!r}?" if near else None,
        )

    # Looking

    def _open(self, path: str, flags: int) -> int:
        return fs.openat2(self.root, os.fsencode(path) or b".", flags, resolve=_IN_ROOT)

    def look(self, path: str) -> Found:
        """Return what lies at `path`; links in it, and the last one, are followed inside the tree. Raises OSError."""
        fd = self._open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            return Found(path, os.fstat(fd))
        finally:
            os.close(fd)

    def open_directory(self, path: str) -> int:
        """Return a descriptor for reading the directory at `path`. Raises OSError."""
        return self._open(path, _DIRECTORY)

    def open_file(self, path: str) -> int:
        """Return a descriptor for reading the regular file at `path`. Raises OSError, BuildError."""
        fd = self._open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise BuildError(f"/{path}: is no regular file")
        return fd

    def walk(
        self, path: str, exclude: Ignore | None = None, held: Held | None = None
    ) -> Iterator[tuple[Found, int]]:
        """Yield what is below the directory `path`, parents first and sorted, with the descriptor of its directory.

        Symbolic links stay links. What `exclude` matches (from the tree's root) is left out. A directory that is left
        out is still yielded when something in it is not. What is `held` is as it was when it was read. Raises OSError.
        """
        everything = self.ignore is None and exclude is None
        top = self._open(path, _DIRECTORY)
        stack: list[tuple[int, str, Iterator[str], list[tuple[Found, int]]]] = []
        try:
            stack.append((top, path, iter(sorted(os.listdir(top))), []))
            while stack:
                directory, base, names, pending = stack[-1]
                name = next(names, None)
                if name is None:
                    os.close(directory)
                    stack.pop()
                    continue
                where = f"{base}/{name}" if base else name
                known = held.get(where) if held is not None else None
                found = Found(where, known.status) if known else self._entry(directory, where, name)
                if found is None:
                    continue
                out = not everything and (
                    self.ignored(found.path) or (exclude is not None and exclude.left_out(found.path))
                )
                if found.is_directory:
                    if out and not self._may_hold(found.path, exclude):
                        continue
                    if out:
                        pending = [*pending, (found, directory)]
                    else:
                        yield from pending
                        pending.clear()
                        stack[-1] = (directory, base, names, pending)
                        yield found, directory
                    below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                    stack.append((below, found.path, iter(sorted(os.listdir(below))), pending if out else []))
                elif not out:
                    yield from pending
                    pending.clear()
                    yield found, directory
        finally:
            for directory, *_ in stack:
                os.close(directory)

    def _may_hold(self, path: str, exclude: Ignore | None) -> bool:
        if self.ignored(path):
            return self.has_exceptions(path)
        return exclude is not None and exclude.may_contain_exceptions(path)

    def _entry(self, directory: int, path: str, name: str) -> Found | None:
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            link = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
        except OSError as exc:
            if exc.errno == errno.ENOENT:
                return None  # it was there a moment ago
            raise
        if stat.S_ISSOCK(status.st_mode):
            return None
        return Found(path, status, link)
