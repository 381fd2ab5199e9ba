"""What tells that files of the machine are others than before."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def fingerprint(paths: Iterable[str]) -> str:
    """Return what changes whenever one of `paths` does: files by themselves.

    Links and names by their directory.
    """
    marks = []
    for path in paths:
        status = os.lstat(path)
        marks.append(f"{status.st_ino}:{status.st_ctime_ns}")
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()


def digest_of(*words: str) -> str:
    """Return the digest of some words, of which none has a NUL."""
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()
