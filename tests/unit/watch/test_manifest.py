"""The manifest: what differs from before, whatever was heard of it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.watch.manifest import SourceManifest, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a small tree."""
    (tmp_path / "src/a").mkdir(parents=True)
    (tmp_path / "src/a/one").write_text("1")
    (tmp_path / "src/two").write_text("2")
    return tmp_path / "src"


def made(*roots: Path) -> SourceManifest:
    """Return a manifest that has seen everything."""
    manifest = SourceManifest(map(str, roots), lambda _: True)
    manifest.scan()
    settle(manifest)
    return manifest


def settle(manifest: SourceManifest) -> None:
    """Let files grow old: young ones are looked at twice."""
    while manifest.scan():
        pass


def names(changed: set[str], root: Path) -> list[str]:
    """Return paths relative to `root`, sorted."""
    return sorted(os.path.relpath(path, root) for path in changed)


def test_a_first_scan_finds_everything(tree: Path) -> None:
    """Files and directories, those before what is in them."""
    manifest = SourceManifest([str(tree)], lambda _: True)
    assert names(manifest.scan(), tree) == [".", "a", "a/one", "two"]
    assert next(os.path.relpath(path, tree) for path in manifest.files()) == "."


def test_look(tree: Path) -> None:
    """An event leads to what is there now: a new tree with all in it, a moved one with all that was in it."""
    manifest = made(tree)
    (tree / "b/c").mkdir(parents=True)
    (tree / "b/c/d").write_text("x")
    assert names(manifest.look([str(tree / "b")]), tree) == ["b", "b/c", "b/c/d"]
    settle(manifest)
    (tree / "b").rename(tree / "e")
    assert names(manifest.look([str(tree / "b"), str(tree / "e")]), tree) == [
        "b", "b/c", "b/c/d", "e", "e/c", "e/c/d",
    ]  # fmt: skip
    settle(manifest)
    (tree / "two").chmod(0o600)
    assert names(manifest.look([str(tree / "two")]), tree) == ["two"]
    settle(manifest)
    assert manifest.look([str(tree / "two"), str(tree / "nothing"), "/elsewhere"]) == set()


def test_an_event_below_an_unknown_directory(tree: Path) -> None:
    """What was made before anybody watched is found from what is known."""
    manifest = made(tree)
    (tree / "x/y").mkdir(parents=True)
    (tree / "x/y/z").write_text("")
    assert names(manifest.look([str(tree / "x/y/z")]), tree) == ["x", "x/y", "x/y/z"]


def test_recheck_finds_what_no_event_told(tree: Path) -> None:
    """In the directories named, and in what is new in them."""
    manifest = made(tree)
    (tree / "a/three").write_text("3")
    (tree / "a/new").mkdir()
    (tree / "a/new/four").write_text("4")
    (tree / "two").write_text("other")
    assert names(manifest.recheck([str(tree / "a")]), tree) == ["a/new", "a/new/four", "a/three"]
    settle(manifest)
    assert manifest.get(str(tree / "two")) is not None


def test_a_file_that_becomes_a_directory(tree: Path) -> None:
    """And back."""
    manifest = made(tree)
    (tree / "two").unlink()
    (tree / "two").mkdir()
    (tree / "two/x").write_text("")
    assert names(manifest.scan(), tree) == ["two", "two/x"]
    settle(manifest)
    shutil.rmtree(tree / "two")
    (tree / "two").write_text("")
    assert names(manifest.scan(), tree) == ["two", "two/x"]


def test_roots_that_are_files_or_missing(tmp_path: Path) -> None:
    """A root may be a file, come later, and go; what is beside it is nobody's business."""
    file, later = tmp_path / "file", tmp_path / "not/yet"
    file.write_text("1")
    manifest = made(file, later)
    assert manifest.directories == {str(tmp_path)}
    (tmp_path / "beside").write_text("")
    assert manifest.look([str(tmp_path / "beside")]) == set()
    later.mkdir(parents=True)
    (later / "a").write_text("")
    assert names(manifest.look([str(tmp_path / "not")]), tmp_path) == ["not/yet", "not/yet/a"]
    settle(manifest)
    assert manifest.directories == {str(tmp_path), str(tmp_path / "not"), str(later)}
    shutil.rmtree(tmp_path / "not")
    file.unlink()
    assert names(manifest.scan(), tmp_path) == ["file", "not/yet", "not/yet/a"]


def test_young_files_are_looked_at_again(tree: Path) -> None:
    """A second write within the clock's tick looks like the first: it is reported once more when it is named."""
    manifest = SourceManifest([str(tree)], lambda _: True)
    manifest.scan()
    (tree / "two").write_text("3")
    manifest.look([str(tree / "two")])
    assert manifest.doubtful == set()
    assert names(manifest.look([str(tree / "two")]), tree) == ["two"]
    assert names(manifest.doubtful, tree) == ["two"]


def test_what_nobody_wants_is_not_read(tree: Path) -> None:
    """A pruned directory is known, and what is in it isn't."""
    manifest = SourceManifest([str(tree)], lambda path: not path.endswith("/a"))
    assert names(manifest.scan(), tree) == [".", "a", "two"]
    assert manifest.directories == {str(tree), str(tree.parent)}


def test_names_that_are_no_text(tree: Path) -> None:
    """Any bytes."""
    manifest = made(tree)
    raw = os.fsencode(tree) + b"/\xff\xfe"
    with open(raw, "w", encoding="utf-8"):
        pass
    assert manifest.scan() == {os.fsdecode(raw)}


def test_what_cannot_be_looked_at() -> None:
    """It is named with the reason, the rest is seen, and what can be looked at again is no longer named."""
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        for name in ("closed", "open"):
            (top / name).mkdir()
            (top / name / "a").touch()
        manifest = SourceManifest([place], lambda _: True)
        (top / "closed").chmod(0)
        top.chmod(0o755)
        with _without_rights():
            found = names(manifest.scan(), top)
        assert found == [".", "closed", "open", "open/a"]
        assert manifest.unreadable == {str(top / "closed"): "Permission denied"}
        (top / "closed").chmod(0o755)
        with _without_rights():
            assert names(manifest.scan() - manifest.doubtful, top) == ["closed", "closed/a"]
        assert manifest.unreadable == {}


@contextlib.contextmanager
def _without_rights() -> Iterator[None]:
    """Be nobody for a while, where one is root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_nearest(tmp_path: Path) -> None:
    """The directory that a missing path would be made in, sooner or later."""
    assert nearest(str(tmp_path / "a/b/c")) == str(tmp_path)
    assert nearest(str(tmp_path)) == str(tmp_path)


def test_random_changes(tmp_path: Path) -> None:
    """After any changes a scan knows what a new manifest would know."""
    chance = random.Random(7)  # noqa: S311 - no secret
    manifest = made(tmp_path)
    places = [tmp_path / first / second for first in "abc" for second in "xyz"]
    for _ in range(60):
        for _ in range(chance.randrange(1, 5)):
            place = chance.choice(places)
            kind = chance.randrange(4)
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            elif place.exists() or place.is_symlink():
                place.unlink()
            place.parent.mkdir(exist_ok=True)
            if kind == 0:
                place.write_text(str(chance.random()))
            elif kind == 1:
                (place / "deep").mkdir(parents=True)
            elif kind == 2:
                place.symlink_to("nowhere")
        manifest.scan()
        fresh = SourceManifest([str(tmp_path)], lambda _: True)
        fresh.scan()
        assert {path: manifest.get(path) for path in manifest.files()} == {
            path: fresh.get(path) for path in fresh.files()
        }


def test_another_directory_under_an_old_name(tree: Path) -> None:
    """It looks like the one before: what is in it is compared when its coming was told of."""
    manifest = made(tree)
    shutil.rmtree(tree / "a")
    (tree / "a").mkdir()
    (tree / "a/new").mkdir()
    path = str(tree / "a")
    assert names(manifest.look([path], {path}), tree) == ["a/new", "a/one"]
    assert manifest.renewed
