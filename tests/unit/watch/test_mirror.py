"""A container's copy, here a directory: what the one who comes after a kill knows of it."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from pycompose.watch.manifest import SourceManifest
from pycompose.watch.matching import Matcher
from pycompose.watch.mirror import CHANGING_S, LARGE, Mirror
from pycompose.watch.rules import FileRule
from pycompose.watch.view import View

from tests.support.trees import difference, read_tree

if TYPE_CHECKING:
    from pathlib import Path


def seen(source: Path) -> View:
    """Return what a rule that syncs `source` to /app makes of it."""
    rule = FileRule(
        service="web",
        index=0,
        action="sync",
        path=str(source),
        target="/app",
        matcher=Matcher((), (), "", None),
    )
    manifest = SourceManifest([str(source)], lambda _: True)
    manifest.scan()
    view = View([rule])
    view.fill(manifest)
    return view


def brought(source: Path, root: Path, ledger: Path) -> None:
    """Bring `root`/app up to date as a watcher does that has just begun."""
    view = seen(source)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        assert Mirror(ledger).sync(fd, view).failures == {}
    finally:
        os.close(fd)


def test_twice_within_a_tick(tmp_path: Path) -> None:
    """A second write that looks the same is found by its content; what the container has changed is left to it."""
    source, root, ledger = (tmp_path / name for name in ("src", "root", "ledger"))
    for folder in (source, root, ledger):
        folder.mkdir()
    (source / "a").write_text("one")
    view = seen(source)
    item = view.items["/app/a"]
    view.items["/app/a"] = item._replace(
        entry=item.entry._replace(ctime_ns=1 << 62)
    )  # written just now, for ever
    mirror = Mirror(ledger)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    there = root / "app/a"
    mirror.sync(fd, view)
    status = (source / "a").stat()
    there.write_text("two")  # as if the source had been written once more
    os.utime(there, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert mirror.sync(fd, view, {"/app/a"}).count == 1
    assert there.read_text() == "one"
    there.write_text("the container's")
    assert mirror.sync(fd, view, {"/app/a"}).count == 0
    assert there.read_text() == "the container's"
    mirror.forget()
    assert mirror.sync(fd, view).count == 1
    os.close(fd)


def test_another_watcher(tmp_path: Path) -> None:
    """It takes away what its forerunner has put, and gives directories that he made their modes, not the image's."""
    source, root, ledger = (tmp_path / name for name in ("src", "root", "ledger"))
    for folder in (source / "made", source / "theirs", root / "app/theirs", ledger):
        folder.mkdir(parents=True)
    (source / "made/a").write_text("a")
    (source / "b").write_text("b")
    (root / "app/theirs").chmod(0o777)
    brought(source, root, ledger)
    assert list(difference(read_tree(source), read_tree(root / "app"))) == ["theirs"]
    (source / "made").chmod(0o700)
    (source / "theirs").chmod(0o700)
    (source / "b").unlink()
    brought(source, root, ledger)
    assert list(difference(read_tree(source), read_tree(root / "app"))) == ["theirs"]
    assert stat.S_IMODE((root / "app/made").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "app/theirs").stat().st_mode) == 0o777
    (source / "made/a").unlink()
    (source / "made").rmdir()
    brought(source, root, ledger)
    (source / "made").mkdir(mode=0o755)
    brought(source, root, ledger)
    assert stat.S_IMODE((root / "app/made").stat().st_mode) == 0o755


def test_a_large_file_that_is_being_written(tmp_path: Path) -> None:
    """It is left alone for a while, whatever else is brought meanwhile; then it comes, or goes."""
    source, root, ledger = (tmp_path / name for name in ("src", "root", "ledger"))
    for folder in (source, root, ledger):
        folder.mkdir()
    big, small, there = source / "big", source / "small", root / "app/big"
    big.write_bytes(bytes(LARGE))
    small.write_text("one")
    view = seen(source)
    with big.open("ab") as file:
        file.write(b"more than we have seen")
    mirror = Mirror(ledger)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    began_s = time.monotonic()
    outcome = mirror.sync(fd, view)
    assert (outcome.later, outcome.again) == ([str(big)], [])
    view = seen(source)
    tries = 1
    while not mirror.sync(fd, view, {"/app/big"}).count:
        assert "/app/big" in mirror.behind(view)
        assert (root / "app/small").read_text() == "one"
        tries += 1
    assert time.monotonic() - began_s >= CHANGING_S
    assert tries > 1
    assert there.stat().st_size == big.stat().st_size
    with big.open("ab") as file:
        file.write(b"and again")
    assert mirror.sync(fd, view, {"/app/big"}).count == 0
    big.unlink()
    assert mirror.sync(fd, seen(source), {"/app/big"}).failures == {}
    assert not there.exists()
    assert mirror.behind(seen(source)) == set()
    os.close(fd)
