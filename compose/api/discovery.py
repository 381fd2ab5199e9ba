"""Tells what is new on the machine, by inotify(7): supervisors that begin to listen, and lines in the journal."""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING

from pycompose.engine.journal import JournalReader
from pycompose.engine.linux.libc import call
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.journal import ResourceEvent
    from pycompose.engine.paths import StatePaths

IN_MODIFY = 0x2
IN_CREATE = 0x100
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name


class SupervisorWatch:
    """The projects whose directory or socket is new since the last look."""

    def __init__(self, paths: StatePaths) -> None:
        """Begin to watch; raises OSError."""
        self._paths = paths
        self._projects: dict[int, str] = {}
        self._fd = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._root = self._add(os.fspath(make_directory(paths.projects_run)))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor that is readable when something is new."""
        return self._fd

    def close(self) -> None:
        """Watch no more."""
        os.close(self._fd)

    def all(self) -> set[str]:
        """Return every project that has a directory, and watch it."""
        found = {entry.name for entry in self._paths.projects_run.iterdir()}
        self._watch(found)
        return found

    def read(self) -> set[str]:
        """Return the projects in whose directories something is new, or which are new themselves."""
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return set()
        found: set[str] = set()
        offset = 0
        while offset < len(data):
            wd, mask, _cookie, length = _EVENT.unpack_from(data, offset)
            name = (
                data[offset + _EVENT.size : offset + _EVENT.size + length]
                .rstrip(b"\0")
                .decode("utf-8", "replace")
            )
            offset += _EVENT.size + length
            if wd == self._root:
                found.add(name)
            elif mask & IN_CREATE and name == "control.sock" and wd in self._projects:
                found.add(self._projects[wd])
        self._watch(found)
        return found

    def _watch(self, projects: set[str]) -> None:
        for name in projects:
            try:
                self._projects[self._add(os.fspath(self._paths.project_run(name)))] = name
            except OSError:
                continue  # it has gone

    def _add(self, path: str) -> int:
        return call("inotify_add_watch", self._fd, path.encode(), IN_CREATE)


class JournalWatch:
    """What happens to images, networks and volumes from now on."""

    def __init__(self, paths: StatePaths) -> None:
        """Begin to watch; raises OSError."""
        self._fd = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            directory = os.fspath(make_directory(paths.journal))
            call("inotify_add_watch", self._fd, directory.encode(), IN_MODIFY | IN_CREATE)
        except BaseException:
            os.close(self._fd)
            raise
        self._reader = JournalReader(paths, from_now=True)

    def fileno(self) -> int:
        """Return the descriptor that is readable when something is new."""
        return self._fd

    def close(self) -> None:
        """Watch no more."""
        self._reader.close()
        os.close(self._fd)

    def read(self) -> Iterator[ResourceEvent]:
        """Yield what is new."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 1 << 16)
        return self._reader.read()
