"""Digests of a context's files, remembered by what stat(2) says: an unchanged tree costs a stat for each file.

A file counts as unchanged while inode, size, mtime and ctime are the same; ctime can't be set by a program, so a file
whose mtime was put back is noticed. A file that changed just before it was read is not remembered: it could change
again within the same tick of the clock (git has the same rule, racy-git).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from pycompose.engine.images.layout import replace_file

_RACY_NS = 50_000_000
_VERSION = 1


class DigestCache:
    """The digests of one directory's files; loaded at once, written by `save` when something has changed."""

    def __init__(self, folder: Path, context: str) -> None:
        """`folder` holds one file per context, `context` is its absolute path."""
        self._path = folder / f"{hashlib.sha256(os.fsencode(context)).hexdigest()[:32]}.json"
        self._context = context
        self._known: dict[str, list[object]] = {}
        self._used: dict[str, list[object]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError, AttributeError):
            value = json.loads(self._path.read_bytes())
            if value.get("version") == _VERSION and value.get("context") == context:
                self._known = value["files"]

    def get(self, path: str, status: os.stat_result) -> str:
        """Return the digest of a file that is as it was, "" for another one."""
        entry = self._known.get(path)
        if entry is None or entry[:4] != _mark(status):
            return ""
        self._used[path] = entry
        return str(entry[4])

    def put(self, path: str, status: os.stat_result, digest: str) -> None:
        """Remember a digest; `status` was taken from the descriptor before it was read."""
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _RACY_NS:
            return
        entry = [*_mark(status), digest]
        self._known[path] = self._used[path] = entry
        self._changed = True

    def save(self) -> None:
        """Write what was used to the disk; a full disk loses nothing but time."""
        if not self._changed:
            return
        value = {"version": _VERSION, "context": self._context, "files": {**self._known, **self._used}}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(value).encode(), durable=False)


def _mark(status: os.stat_result) -> list[object]:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
