"""Files into a container's root, here a directory: whole, and never outside."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest
from pycompose.watch import content
from pycompose.watch.content import Changing
from pycompose.watch.manifest import FileEntry, entry_of
from pycompose.watch.matching import SCRATCH
from pycompose.watch.writer import ContainerTree
from watchfiles._rust_notify import RustNotify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a container's root."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def tree(root: Path) -> Iterator[ContainerTree]:
    """Open it."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    with ContainerTree(fd) as found:
        yield found
    os.close(fd)


def entry(path: Path) -> FileEntry:
    """Return what the manifest knows of a file, which is old."""
    found = path.lstat()
    return FileEntry(found.st_mode, found.st_size, found.st_mtime_ns, 0, found.st_ino)


def put(tree: ContainerTree, target: str, source: Path, *, known: bool = True) -> bool:
    """Put one file."""
    return tree.put(target, str(source), entry(source), None, known=known)


def test_file(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Content, mode and time stamp; directories above are made; a second time there is nothing to do."""
    source = tmp_path / "a"
    source.write_text("one")
    source.chmod(0o751)
    os.utime(source, ns=(5, 1_234_567_890))
    assert put(tree, "/app/deep/a", source)
    there = root / "app/deep/a"
    assert there.read_text() == "one"
    assert stat.S_IMODE(there.stat().st_mode) == 0o751
    assert there.stat().st_mtime_ns == 1_234_567_890
    inode = there.stat().st_ino
    assert not put(tree, "/app/deep/a", source)
    source.chmod(0o600)
    assert put(tree, "/app/deep/a", source)
    assert (there.stat().st_ino, stat.S_IMODE(there.stat().st_mode)) == (inode, 0o600)
    source.write_text("two")
    assert put(tree, "/app/deep/a", source)
    assert there.read_text() == "two"
    assert there.stat().st_ino != inode


def test_whoever_watches_or_reads_it(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Who reads has the old file to its end, who watches the directory is told: the file comes whole, by its name."""
    source = tmp_path / "a"
    source.write_text("one")
    put(tree, "/a", source)
    source.write_text("another one")
    notify = RustNotify([str(root)], False, False, 0, False, True)
    with (root / "a").open() as reading:
        put(tree, "/a", source)
        assert reading.read() == "one"
    heard: set[str] = set()
    while str(root / "a") not in heard:
        found = notify.watch(100, 4, 20_000, None)
        assert isinstance(found, set), found
        heard |= {path for _, path in found}
    notify.close()
    assert (root / "a").read_text() == "another one"


def test_content_decides_where_nothing_is_known(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """An image has the same files with other time stamps: they stay."""
    source, there = tmp_path / "a", root / "a"
    source.write_text("one")
    there.write_text("one")
    os.utime(there, ns=(0, 0))
    there.chmod(stat.S_IMODE(source.stat().st_mode))
    assert not put(tree, "/a", source, known=False)
    assert there.stat().st_mtime_ns == 0
    there.write_text("two")
    assert put(tree, "/a", source, known=False)
    assert there.read_text() == "one"


@pytest.mark.parametrize("known", (False, True))
def test_time_stamps_that_are_set(tree: ContainerTree, root: Path, tmp_path: Path, *, known: bool) -> None:
    """Another content of the same size and time: rsync, and builds whose files are all of one day, leave such."""
    source = tmp_path / "a"
    for text in ("one", "two"):
        source.write_text(text)
        os.utime(source, ns=(5, 1_234_567_890))
        assert tree.put("/a", str(source), entry_of(source.lstat()), None, known=known)
        assert (root / "a").read_text() == text
    assert not tree.put("/a", str(source), entry_of(source.lstat()), None, known=known)


def test_kinds(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Links as they are, empty directories, empty files; one takes another's place."""
    link, folder, empty, large = (tmp_path / name for name in ("link", "folder", "empty", "large"))
    link.symlink_to("/etc/passwd")
    folder.mkdir(mode=0o750)
    empty.touch()
    large.write_bytes(os.urandom(3 << 20))
    assert put(tree, "/x", link)
    assert os.readlink(root / "x") == "/etc/passwd"
    assert not put(tree, "/x", link)
    assert put(tree, "/x", folder)
    assert stat.S_IMODE((root / "x").stat().st_mode) == 0o750
    assert not put(tree, "/x", folder)
    assert put(tree, "/x", empty)
    assert (root / "x").read_bytes() == b""
    assert put(tree, "/x", link)
    assert put(tree, "/x", large)
    assert (root / "x").read_bytes() == large.read_bytes()
    assert sorted(os.listdir(root)) == ["x"]


def test_mode_of_a_directory(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """That of the one outside where we have made it; one of the image keeps its own."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o750)
    (root / "theirs").mkdir(mode=0o777)
    (root / "theirs").chmod(0o777)
    assert not put(tree, "/theirs", folder)
    assert stat.S_IMODE((root / "theirs").stat().st_mode) == 0o777
    assert put(tree, "/ours", folder)
    folder.chmod(0o711)
    assert tree.put("/ours", str(folder), entry(folder), None, known=True, made=True)
    assert stat.S_IMODE((root / "ours").stat().st_mode) == 0o711
    assert not tree.put("/ours", str(folder), entry(folder), None, known=True, made=True)


def test_setuid_stays_outside(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """The owner inside is another one: a program that becomes root here must not become root there."""
    source = tmp_path / "a"
    source.write_text("x")
    source.chmod(0o6755)
    put(tree, "/a", source)
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o755


def test_holes(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """A file that takes less room than it is long takes no more there: at its beginning, in its middle, at its end."""
    source, there = tmp_path / "a", root / "a"
    for size, places in ((64 << 20, (5 << 20, 40 << 20)), (64 << 20, (0,)), (64 << 20, ()), (3 << 20, (0,))):
        with source.open("wb") as file:
            file.truncate(size)
            for place in places:
                file.seek(place)
                file.write(os.urandom(100_000))
        assert put(tree, "/a", source)
        assert there.stat().st_blocks * 512 < 1 << 20
        with source.open("rb") as ours, there.open("rb") as theirs:
            while piece := ours.read(1 << 20):
                assert theirs.read(1 << 20) == piece
            assert theirs.read() == b""


def test_a_directory_in_anothers_place(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Its files may be older than our copy, of the same sizes and times, and others nevertheless."""
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    assert put(tree, "/a", tmp_path / "new")
    assert put(tree, "/a", tmp_path / "old")
    assert (root / "a").read_text() == "old"
    assert put(tree, "/a", tmp_path / "new", known=False)
    assert (root / "a").read_text() == "new"


def test_links_in_the_container_lead_nowhere_else(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Absolute ones, and those with `..`, end in the container's root."""
    source = tmp_path / "a"
    source.write_text("x")
    (tmp_path / "outside").mkdir()
    (root / "abs").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("../outside")
    with pytest.raises(OSError, match="File exists"):
        put(tree, "/abs/a", source)
    with pytest.raises(OSError, match="File exists"):
        put(tree, "/up/a", source)
    (root / "outside").mkdir()
    assert put(tree, "/up/a", source)
    assert (root / "outside/a").exists()
    assert os.listdir(tmp_path / "outside") == []
    (root / "target").symlink_to(tmp_path / "outside/b")
    assert put(tree, "/target", source)
    assert not (root / "target").is_symlink()


def test_remove(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Files and empty directories; what is left in a directory keeps it."""
    source = tmp_path / "a"
    source.write_text("x")
    put(tree, "/d/a", source)
    (root / "d/theirs").write_text("")
    assert tree.remove("/d/a")
    assert not tree.remove("/d/a")
    assert not tree.remove("/d")
    (root / "d/theirs").unlink()
    assert tree.remove("/d")
    assert not tree.remove("/nothing/there")


def test_what_changes_meanwhile(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """Nothing half is put, and nothing is left lying about."""
    source = tmp_path / "a"
    source.write_text("one")
    before = entry(source)
    source.write_text("another one")
    with pytest.raises(Changing):
        tree.put("/a", str(source), before, None, known=True)
    assert os.listdir(root) == []


def test_a_copy_ends_as_soon_as_its_source_changes(tmp_path: Path) -> None:
    """Nobody writes a gigabyte that is of no use any more."""
    source, there = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(30 << 20))

    def check() -> None:
        raise Changing(errno.EAGAIN, "changes")

    with source.open("rb") as reading, there.open("wb") as writing, pytest.raises(Changing):
        content.copy(reading.fileno(), writing.fileno(), 30 << 20, check)
    assert 0 < there.stat().st_size < 10 << 20


def test_more_than_two_gigabytes(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """More than a system call copies at once; its beginning, its end, and what is in its middle are there."""
    source, there = tmp_path / "a", root / "a"
    places = {0: b"first", (2 << 30) + 5: b"beyond", (3 << 30) - 4: b"last"}
    for path in (source, there):
        path.touch()
    for place, text in places.items():
        with source.open("r+b") as file:
            file.seek(place)
            file.write(text)
    assert put(tree, "/a", source)
    assert there.stat().st_size == 3 << 30
    with there.open("rb") as file:
        for place, text in places.items():
            file.seek(place)
            assert file.read(len(text)) == text


def test_scratch_of_a_killed_watcher_goes(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """The next one that comes to the directory takes it away."""
    source = tmp_path / "a"
    source.write_text("x")
    (root / "d").mkdir()
    (root / "d" / SCRATCH).write_text("half")
    put(tree, "/d/a", source)
    assert os.listdir(root / "d") == ["a"]


def test_no_room_for_a_file(tree: ContainerTree, root: Path, tmp_path: Path) -> None:
    """A directory with something of the container's in it stays."""
    source = tmp_path / "a"
    source.write_text("x")
    (root / "a").mkdir()
    (root / "a/theirs").write_text("")
    with pytest.raises(OSError, match="not empty"):
        put(tree, "/a", source)
