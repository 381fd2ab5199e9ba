"""What was read of a context's directories, remembered by what stat(2) says: an unchanged tree costs a stat per file.

An entry is as it was while mode, inode, device, size, mtime and ctime are the same; ctime can't be set by a program, so
a file whose mtime was put back is noticed. What changed just before it was read is not remembered: it could change
again within the same tick of the clock (git has the same rule, racy-git).

All marks of a directory are compared at once, as bytes: nothing is done in Python for a file that is as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pycompose.engine.images.layout import replace_file

# What must be the same of an entry: mode, inode, device, size, mtime and ctime in nanoseconds.
Mark = tuple[int, int, int, int, int, int]
# The text for a step's key, and the directories that are to be read: (name, is left out itself).
View = tuple[bytes, tuple[tuple[str, bool], ...]]
mark_of = operator.attrgetter("st_mode", "st_ino", "st_dev", "st_size", "st_mtime_ns", "st_ctime_ns")

# Clocks of file systems tick every 10 ms at worst; those that have no fractions of seconds (ext3, FAT) every 2 s.
_TICK_NS = 50_000_000
_LONG_TICK_NS = 2_100_000_000
_SECOND_NS = 1_000_000_000
_VERSION = 2
# The format of marshal(3) that writes equal values as equal bytes: without references.
_FORMAT = 2


class Known(NamedTuple):
    """A directory as it was read, or a single file, which is a directory with one name.

    `names` and `digests` (of files that were read, "" for others) are joined by NUL, `marks` is what `packed` makes of
    theirs. `views` has one for each way to choose from it (.dockerignore, `--exclude`).
    """

    names: str
    marks: bytes
    digests: str
    views: Mapping[str, View]

    def files(self) -> dict[str, tuple[Mark, str]]:
        """Return what is known of each name with a digest."""
        marks: list[Mark | None] = marshal.loads(self.marks)  # noqa: S302 - as below
        entries = zip(
            self.names.split("\0"), marks, self.digests.split("\0"), strict=False
        )  # "" has no names
        return {name: (mark, digest) for name, mark, digest in entries if mark is not None and digest}


def packed(marks: Sequence[Mark | None]) -> bytes:
    """Return marks as bytes to compare; with None for an entry, they are never equal to those of a directory."""
    return marshal.dumps(list(marks), _FORMAT)


def is_settled(mark: Mark, now_ns: int) -> bool:
    """Tell whether any change after `now_ns`, when the mark was taken at the earliest, would change the mark, too."""
    *_, modified_ns, changed_ns = mark
    newest_ns = max(modified_ns, changed_ns) if modified_ns <= now_ns else changed_ns
    return now_ns - newest_ns >= (_TICK_NS if changed_ns % _SECOND_NS else _LONG_TICK_NS)


class DigestCache:
    """The directories of one context; loaded at once, written by `save` when something has changed."""

    def __init__(self, folder: Path, context: str) -> None:
        """`folder` holds one file per context, `context` is its absolute path."""
        self._path = folder / hashlib.sha256(os.fsencode(context)).hexdigest()[:32]
        self._context = context
        self._known: dict[str, Known] = {}
        self._used: set[str] = set()
        self._changed = False
        # A file that isn't whole (without fsync, after a power cut) may be anything, which marshal can't stand.
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
            data = memoryview(self._path.read_bytes())
            if hashlib.sha256(data[32:]).digest() == data[:32]:
                version, name, known = marshal.loads(data[32:])  # noqa: S302 - only our own uid can write it
                if (version, name) == (_VERSION, context):
                    self._known = {path: Known(*entry) for path, entry in known.items()}

    def get(self, path: str) -> Known | None:
        """Return what is known of a directory, or a single file: as it was when it was read last."""
        self._used.add(path)
        return self._known.get(path)

    def put(self, path: str, known: Known) -> None:
        """Remember what was read."""
        self._known[path] = known
        self._changed = True

    def save(self) -> None:
        """Write what is known to the disk; a full disk loses nothing but time."""
        if not self._changed:
            return
        known = {path: tuple(entry) for path, entry in self._there().items()}
        data = marshal.dumps((_VERSION, self._context, known), _FORMAT)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, hashlib.sha256(data).digest() + data, durable=False)

    def _there(self) -> dict[str, Known]:
        """Return all but what lay in directories that were read now and have it no more."""
        there: dict[str, Known] = {}
        for path in sorted(self._known):
            above, _, name = path.rpartition("/")
            if path and path not in self._used and above in self._known:
                if above not in there:
                    continue
                if above in self._used and name not in self._known[above].names.split("\0"):
                    continue
            there[path] = self._known[path]
        return there
