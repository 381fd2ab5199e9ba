"""`x-sync-back`: files that a container makes come out, too: lock files, snapshots, generated code.

What has changed in the container goes to its place outside unless that has changed as well since it was last copied:
then the one outside stays, which is said, and goes in as any other change. Files only; what is deleted in the container
stays outside. Nothing goes round in circles: what has been copied out is known to be in the container already.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from pycompose.engine.filesystem.view import whole
from pycompose.engine.linux import fs
from pycompose.watch import deep
from pycompose.watch.content import READ
from pycompose.watch.manifest import FileEntry, entry_of
from pycompose.watch.matching import SCRATCH
from pycompose.watch.reports import WatchReport
from pycompose.watch.writer import MODE, ContainerTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.engine.paths import StatePaths
    from pycompose.watch.replicas import Replica
    from pycompose.watch.rules import FileRule

# How often the container is looked at.
BACK_S = 1.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class SyncBack:
    """What has been seen in the containers of one project so far."""

    def __init__(self, paths: StatePaths, tell: Callable[[WatchReport], None]) -> None:
        self._paths, self._tell = paths, tell
        # (container, place) → size and time stamp
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}

    def look(self, replica: Replica, rules: list[FileRule]) -> None:
        """Copy out of one container what has changed in it. Raises PycomposeError, OSError."""
        container = replica.container
        with whole(self._paths, container.config, container.state) as root:
            for rule in rules:
                copied = [
                    relative
                    for relative, directory, status in _changed(root, rule)
                    if self._one(replica, rule, relative, directory, status)
                ]
                if copied:
                    text = f'Syncing back {len(copied)} files of service "{rule.service}"'
                    facts = {"service": rule.service, "container": container.name, "files": copied}
                    self._tell(WatchReport(kind="sync-back", text=text, facts=facts))

    def _one(
        self, replica: Replica, rule: FileRule, relative: str, directory: int, status: os.stat_result
    ) -> bool:
        outside = f"{rule.path}/{relative}"
        place = rule.place(outside)
        seen = status.st_size, status.st_mtime_ns
        key = replica.container.id, place
        before = self._seen.get(key)
        if before == seen:
            return False
        self._seen[key] = seen
        try:
            found: FileEntry | None = entry_of(deep.reached(os.lstat, outside))
        except FileNotFoundError:
            found = None
        if found is not None and (found.size, found.mtime_ns) == seen:
            return False
        if not replica.mirror.same(place, found):
            if before is not None:
                text = (
                    f"{outside}: has changed here and in container {replica.container.name}: this one stays"
                )
                facts = {"service": rule.service, "files": [outside]}
                self._tell(WatchReport(kind="conflict", text=text, facts=facts, error=True))
            return False
        reading = os.open(os.path.basename(relative), READ, dir_fd=directory)
        try:
            self._copy(rule, relative, reading)
        finally:
            os.close(reading)
        replica.mirror.adopt(place, entry_of(deep.reached(os.lstat, outside)))
        return True

    @staticmethod
    def _copy(rule: FileRule, relative: str, reading: int) -> None:
        status = os.fstat(reading)
        top = os.open(rule.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with ContainerTree(top) as tree:
                mode = stat.S_IFREG | (stat.S_IMODE(status.st_mode) & MODE)
                tree.put_open(f"/{relative}", reading, FileEntry(mode, status.st_size, status.st_mtime_ns))
        finally:
            os.close(top)


def _changed(root: int, rule: FileRule) -> Iterator[tuple[str, int, os.stat_result]]:
    """Yield the files in the container that the patterns name: path, directory, status. No link is followed."""
    assert rule.sync_back is not None  # noqa: S101 - its caller has asked
    try:
        top = fs.open_in_root(root, rule.target, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        for base, directories, files, directory in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            prefix = "" if base == "." else f"{base.removeprefix('./')}/"
            directories[:] = [
                name
                for name in directories
                if not rule.matcher.prunes(prefix + name) or rule.sync_back.fits(prefix + name)
            ]
            for name in files:
                if name == SCRATCH or not rule.sync_back.fits(prefix + name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield prefix + name, directory, status
    finally:
        os.close(top)
