"""A build context with mounts in it: what is remembered of what they cover isn't believed of what they show."""

from __future__ import annotations

import os
from pathlib import Path

from pycompose.engine.builder.listing import Listing
from pycompose.engine.builder.reading import Reader
from pycompose.engine.builder.statcache import DigestCache
from pycompose.engine.builder.tree import SourceTree

from tests.support.namespaces import MS_BIND, mount, umount


def _read(context: Path, index: Path, *, remembers: bool = True) -> bytes:
    digests = DigestCache(index, str(context)) if remembers else None
    fd = os.open(context, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listing = Listing()
        listing.digest(Reader(SourceTree(fd, digests=digests)).pieces(""))
    finally:
        os.close(fd)
    if digests is not None:
        digests.save()
    return listing.text


def test_mounts_come_and_go(tmp_path: Path) -> None:
    """Over a file, over a directory, and a file system of its own with the same names."""
    context, index, other = tmp_path / "context", tmp_path / "index", tmp_path / "other"
    for place, text in ((context, "below"), (other, "above")):
        (place / "inner").mkdir(parents=True)
        (place / "file").write_text(text, encoding="ascii")
        (place / "inner/file").write_text(text, encoding="ascii")
        for path in (place / "file", place / "inner/file"):
            os.utime(path, ns=(10**9, 10**9))
    bare = _read(context, index)
    for source, target in ((other / "file", "file"), (other / "inner", "inner"), (None, "inner")):
        if source is None:
            mount("tmpfs", context / target, fstype="tmpfs")
            (context / target / "file").write_text("above", encoding="ascii")
        else:
            mount(str(source), context / target, flags=MS_BIND)
        try:
            covered = _read(context, index)
            assert covered == _read(context, index, remembers=False) == _read(context, index)
            assert covered != bare
        finally:
            umount(context / target)
        assert _read(context, index) == bare
