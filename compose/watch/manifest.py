"""What lies below the rules' paths: the truth that events only tell us to look at.

Events get lost (a full queue), come late, or name a file that is something else by now. What counts is what
`lstat` says, compared with what it said before; `scan` compares everything, `look` what may have changed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from pycompose.watch.deep import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

# Two writes within one tick of the file system's clock leave the same time stamp (ext4 before Linux 6.13: 4 to 10 ms).
TICK_NS = 20_000_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FileEntry(NamedTuple):
    """A file as lstat(2) shows it; of a directory only its mode, the rest says what is in it."""

    mode: int
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0

    @property
    def directory(self) -> bool:
        """Whether it is one."""
        return stat.S_ISDIR(self.mode)

    @property
    def copied(self) -> bool:
        """Whether a container gets it: sockets, FIFOs and devices belong to whoever listens on this side."""
        return self.directory or stat.S_ISREG(self.mode) or stat.S_ISLNK(self.mode)

    def young(self, seen_ns: int) -> bool:
        """Tell whether it may have changed once more by `seen_ns` without looking any different."""
        return self.ctime_ns > seen_ns - TICK_NS


class SourceManifest:
    """The trees below `roots`. `descends` tells of a directory whether anybody wants to know what is in it.

    `beside` are directories whose events matter, but not what is in them.
    """

    def __init__(self, roots: Iterable[str], descends: Callable[[str], bool]) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self.beside: frozenset[str] = frozenset()
        self._descends = descends
        self._tops: dict[str, FileEntry] = {}
        self._directories: dict[str, dict[str, FileEntry]] = {}
        self._young: set[str] = set()
        # What the last look has only named because it may have changed within a tick of the clock.
        self.doubtful: set[str] = set()
        self.unreadable: dict[str, str] = {}
        # Some directory is a new one under an old name.
        self.renewed = False

    def get(self, path: str) -> FileEntry | None:
        """Return what is at `path`, as far as we know."""
        parent, _, name = path.rpartition("/")
        below = self._directories.get(parent or "/")
        return below.get(name) if below is not None else self._tops.get(path)

    def files(self) -> Iterator[str]:
        """Yield every path, directories before what is in them."""
        seen = set()
        for root in self._tops:
            for path in (root, *self._below(root)):
                if path not in seen:
                    seen.add(path)
                    yield path

    @property
    def directories(self) -> set[str]:
        """The directories whose events matter: those with something in them, what lies above the roots, and others."""
        above = (*map(os.path.dirname, self.roots), *self.beside)
        return {*self._directories, *map(nearest, above)}

    # ------------------------------------------------------------------ looking

    def scan(self) -> set[str]:
        """Compare everything; return what differs from before."""
        self.doubtful = set()
        changed: set[str] = set()
        visited: set[str] = set()
        for root in self.roots:
            self._one(root, changed, visited, deep=True)
        return changed

    def look(self, paths: Iterable[str], replaced: Collection[str] = ()) -> set[str]:
        """Look at what an event has named; return what differs from before, new subtrees with all that is in them.

        What is `replaced` has come or gone: a directory there may be another one than it was, with the same name and
        inode number, and nobody watches what is in it.
        """
        self.doubtful = set()
        changed: set[str] = set()
        visited: set[str] = set()
        for path in paths:
            for concerned in self._concerned(path):
                known = concerned in self._directories
                self._one(concerned, changed, visited, deep=path in replaced)
                if path in replaced and known and concerned in self._directories:
                    self.renewed = True
        return changed

    def recheck(self, directories: Iterable[str]) -> set[str]:
        """Compare what is in these directories, and in those that are new in them; return what differs."""
        self.doubtful = set()
        changed: set[str] = set()
        visited: set[str] = set()
        for directory in directories:
            for path in (
                root for root in self.roots if root == directory or os.path.dirname(root) == directory
            ):
                self._one(path, changed, visited, deep=False)
            if directory in self._directories:
                self._walk(directory, changed, visited, deep=False)
        return changed

    def _concerned(self, path: str) -> list[str]:
        """Return what we know of that an event at `path` may have changed."""
        parent = os.path.dirname(path)
        if parent in self._directories or path in self.roots:
            return [path]
        # It lies above a root that appears, or in a directory whose making we have not heard of yet.
        above = [root for root in self.roots if root.startswith(f"{path}/")]
        if above:
            return above
        while len(parent) > 1:
            if parent in self.roots or os.path.dirname(parent) in self._directories:
                return [parent]
            parent = os.path.dirname(parent)
        return []

    def _one(self, path: str, changed: set[str], visited: set[str], *, deep: bool) -> None:
        now_ns = time.time_ns()
        try:
            found = entry_of(reached(os.lstat, path))
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except OSError as exc:
            self.unreadable[path] = exc.strerror or str(exc)
            return
        self._note(path, self.get(path), found, changed, now_ns)
        parent, _, name = path.rpartition("/")
        below = self._directories.get(parent or "/")
        holder, key = (below, name) if below is not None else (self._tops, path)
        if path in self.roots:
            self._put(self._tops, path, found)
        self._put(holder, key, found)
        if found is not None and found.directory and (deep or path not in self._directories):
            self._walk(path, changed, visited)

    @staticmethod
    def _put(holder: dict[str, FileEntry], key: str, found: FileEntry | None) -> None:
        if found is None:
            holder.pop(key, None)
        else:
            holder[key] = found

    def _note(
        self, path: str, old: FileEntry | None, new: FileEntry | None, changed: set[str], now_ns: int
    ) -> None:
        """Take note of a difference; what was below a directory that is none any more is gone."""
        if old == new and path not in self._young:
            return
        if old == new and path not in changed:
            self.doubtful.add(path)
        if old != new or new is not None:
            changed.add(path)
        if new is not None and not new.directory and new.young(now_ns):
            self._young.add(path)
        else:
            self._young.discard(path)
        if old is not None and old.directory and (new is None or not new.directory):
            changed.update(self._below(path))
            self._forget(path)

    def _walk(self, top: str, changed: set[str], visited: set[str], *, deep: bool = True) -> None:
        """Compare a directory and what is below it; unless `deep`, of that only what isn't known yet."""
        stack = [top]
        while stack:
            directory = stack.pop()
            if directory in visited or not self._descends(directory):
                continue
            visited.add(directory)
            old = self._directories.get(directory, {})
            now_ns = time.time_ns()
            base = "" if directory == "/" else directory
            try:
                new = _listing(directory)
            except OSError as exc:
                if not isinstance(exc, FileNotFoundError):
                    self.unreadable[directory] = exc.strerror or str(exc)
                continue
            self.unreadable.pop(directory, None)
            for name, entry in new.items():
                path = f"{base}/{name}"
                before = old.get(name)
                if before != entry or path in self._young:
                    self._note(path, before, entry, changed, now_ns)
                if before == entry:
                    new[name] = before  # which others have, too: there may be very many
                if entry.directory and (deep or path not in self._directories):
                    stack.append(path)
            for name in old.keys() - new.keys():
                self._note(f"{base}/{name}", old[name], None, changed, now_ns)
            self._directories[directory] = old if old == new else new

    def _below(self, top: str) -> Iterator[str]:
        stack = [top]
        while stack:
            directory = stack.pop()
            base = "" if directory == "/" else directory
            for name, entry in self._directories.get(directory, {}).items():
                path = f"{base}/{name}"
                yield path
                if entry.directory:
                    stack.append(path)

    def _forget(self, top: str) -> None:
        stack = [top]
        while stack:
            directory = stack.pop()
            below = self._directories.pop(directory, {})
            stack += [f"{directory}/{name}" for name, entry in below.items() if entry.directory]


def _listing(directory: str) -> dict[str, FileEntry]:
    """Return what is in a directory. Raises OSError."""
    fd = reached(lambda name: os.open(name, _DIRECTORY), directory)
    found = {}
    try:
        with os.scandir(fd) as items:
            for item in items:
                with contextlib.suppress(OSError):  # it was there a moment ago
                    found[item.name] = entry_of(item.stat(follow_symlinks=False))
    finally:
        os.close(fd)
    return found


def nearest(path: str) -> str:
    """Return `path`, or the nearest directory above it that exists."""
    while len(path) > 1 and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def entry_of(status: os.stat_result) -> FileEntry:
    """Return what counts of a status."""
    if stat.S_ISDIR(status.st_mode):
        return _directory(status.st_mode)
    written_ns, changed_ns = status.st_mtime_ns, status.st_ctime_ns
    if written_ns == changed_ns:
        changed_ns = written_ns  # one object: there may be very many
    return FileEntry(status.st_mode, status.st_size, written_ns, changed_ns, status.st_ino)


@functools.lru_cache
def _directory(mode: int) -> FileEntry:
    """Return the one entry of all directories of a mode: there may be very many."""
    return FileEntry(mode)
