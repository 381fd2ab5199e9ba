"""What was read of a context and is remembered is never believed of another content."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pycompose.engine.builder.ignore import Ignore, parse_ignore
from pycompose.engine.builder.listing import Listing
from pycompose.engine.builder.reading import Reader
from pycompose.engine.builder.statcache import DigestCache, Mark, is_settled
from pycompose.engine.builder.tree import SourceTree

SECOND_NS = 10**9
STEPS = 300

_opened: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str):
        _opened.append(arguments[0])


sys.addaudithook(_note)


class Context:
    """A directory to build from, and what is remembered of it between two builds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "context"
        self.index = folder / "index"
        for name in ("a.txt", "b.txt", "one/c.txt", "one/deep/d.txt", "two/c.txt"):
            self.write(name, f"this is {name:20}")
        (self.folder / "link").symlink_to("a.txt")

    def write(self, name: str, text: str) -> None:
        """Write one file; directories are made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    def settle(self) -> None:
        """Wait until the clock has gone on since the last change, so that what is read is remembered."""
        last_ns = time.time_ns()
        while time.time_ns() - last_ns < 60_000_000:
            time.sleep(0.01)

    def read(
        self, source: str = "", *, ignore: str = "", exclude: str = "", remembers: bool = True
    ) -> Listing:
        """Read as a build does, from what the last one remembered and for the next one."""
        digests = DigestCache(self.index, str(self.folder)) if remembers else None
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            tree = SourceTree(fd, ignore=_patterns(ignore), digests=digests)
            listing = Listing()
            listing.begin(source)
            listing.digest(Reader(tree, _patterns(exclude)).pieces(source))
        finally:
            os.close(fd)
        if digests is not None:
            digests.save()
        return listing

    def opened(self) -> list[str]:
        """Return the files of the context that another reading opens."""
        _opened.clear()
        self.read()
        return sorted({name for name in _opened if name.endswith(".txt")})


def _patterns(text: str) -> Ignore | None:
    return parse_ignore(text) if text else None


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Return a context that was read before."""
    context = Context(tmp_path)
    context.settle()
    context.read()
    return context


def test_what_is_as_it_was_is_not_read_again(context: Context) -> None:
    """No file is opened, and nothing written; of a directory with another file only that is."""
    (index,) = context.index.iterdir()
    before = index.stat().st_ino
    assert context.opened() == []
    assert index.stat().st_ino == before
    context.write("one/c.txt", "something else")
    context.settle()
    assert context.opened() == ["c.txt"]
    assert context.opened() == []


def _other_bytes(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _put_back(context: Context) -> None:
    _other_bytes(context.folder / "a.txt")


def _other_file(context: Context) -> None:
    """Put another file of the same size, mode and mtime in its place."""
    old, new = context.folder / "one/c.txt", context.folder / "new"
    shutil.copy2(old, new)
    _other_bytes(new)
    new.rename(old)


def _swap(first: Path, second: Path) -> None:
    between = first.with_name("between")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def _swap_files(context: Context) -> None:
    first, second = context.folder / "a.txt", context.folder / "b.txt"
    os.utime(second, ns=(first.stat().st_atime_ns, first.stat().st_mtime_ns))
    context.settle()
    context.read()
    _swap(first, second)


def _swap_directories(context: Context) -> None:
    for name in ("one/c.txt", "two/c.txt"):
        os.utime(context.folder / name, ns=(SECOND_NS, SECOND_NS))
    context.settle()
    context.read()
    _swap(context.folder / "one", context.folder / "two")


def _other_link(context: Context) -> None:
    link = context.folder / "link"
    status = link.lstat()
    link.unlink()
    link.symlink_to("b.txt")
    os.utime(link, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _link_in_place(context: Context) -> None:
    (context.folder / "b.txt").unlink()
    (context.folder / "b.txt").symlink_to("a.txt")


def _directory_in_place(context: Context) -> None:
    (context.folder / "b.txt").unlink()
    context.write("b.txt/b.txt", "this is b.txt")


def _file_in_place(context: Context) -> None:
    shutil.rmtree(context.folder / "one/deep")
    context.write("one/deep", "this is a file")


@pytest.mark.parametrize(
    "change",
    (
        _put_back,
        _other_file,
        _swap_files,
        _swap_directories,
        _other_link,
        _link_in_place,
        _directory_in_place,
        _file_in_place,
        lambda context: (context.folder / "a.txt").chmod(0o600),
        lambda context: (context.folder / "one/deep").chmod(0o700),
        lambda context: (context.folder / "a.txt").unlink(),
        lambda context: shutil.rmtree(context.folder / "two"),
        lambda context: (context.folder / "two").rename(context.folder / "three"),
        lambda context: (context.folder / "empty").mkdir(),
        lambda context: os.mkfifo(context.folder / "fifo"),
        lambda context: context.write("one/deep/new.txt", ""),
    ),
)
def test_every_change_is_seen(context: Context, change: Callable[[Context], object]) -> None:
    """Also where size and mtime are the same: what is told is what somebody reads who remembers nothing."""
    context.read()
    before = context.read(remembers=False).text
    change(context)
    after = context.read(remembers=False).text
    assert after != before
    assert context.read().text == after
    context.settle()
    assert context.read().text == after
    assert context.read().text == after


def test_changed_within_a_tick(context: Context) -> None:
    """A file that is read just after it was written isn't remembered: it may be written again at the same time.

    Kernels from 6.13 on tell even such times apart once they were asked for.
    """
    path = context.folder / "a.txt"
    for number in range(200):
        path.write_text(f"{number:04}", encoding="ascii")
        os.utime(path, ns=(SECOND_NS, SECOND_NS))
        assert context.read("a.txt").text == context.read("a.txt", remembers=False).text
        assert context.read().text == context.read(remembers=False).text


def test_times_that_are_settled() -> None:
    """By ctime, whose clock may have whole seconds only; an mtime in the future is somebody's will."""
    now_ns = 1_000 * SECOND_NS + 7

    def mark(modified_ns: int, changed_ns: int) -> Mark:
        return (0o100644, 1, 1, 1, modified_ns, changed_ns)

    assert is_settled(mark(1, now_ns - 60_000_000), now_ns)
    assert not is_settled(mark(1, now_ns - 40_000_000), now_ns)
    assert not is_settled(mark(1, now_ns + 1), now_ns)
    assert is_settled(mark(now_ns + SECOND_NS, now_ns - 60_000_000), now_ns)
    assert not is_settled(mark(now_ns - 1, now_ns - SECOND_NS + 1), now_ns)
    assert not is_settled(mark(1, 999 * SECOND_NS), now_ns)
    assert is_settled(mark(1, 997 * SECOND_NS), now_ns)


def test_a_single_file(context: Context) -> None:
    """A source that is a file is remembered, too, and read again when it is another one."""
    first = context.read("a.txt").text
    assert context.read("a.txt").text == first
    _put_back(context)
    assert context.read("a.txt").text == context.read("a.txt", remembers=False).text != first
    (context.folder / "a.txt").unlink()
    context.write("a.txt/b.txt", "in a directory")
    assert context.read("a.txt").text == context.read("a.txt", remembers=False).text


@pytest.mark.parametrize(
    "ignore", ("one", "*.txt\n!b.txt", "*\n!one/deep/d.txt", "**/c.txt", "one\n!one/deep")
)
def test_what_is_left_out(context: Context, ignore: str) -> None:
    """Each way to choose has a view of its own, none of which is taken for another."""
    whole = context.read().text
    fresh = context.read(ignore=ignore, remembers=False).text
    for _ in range(2):
        assert context.read(ignore=ignore).text == fresh != whole
        assert context.read(exclude=ignore).text == context.read(exclude=ignore, remembers=False).text
        assert context.read().text == whole
    context.write("one/deep/new.txt", "new")
    for _ in range(2):
        assert context.read(ignore=ignore).text == context.read(ignore=ignore, remembers=False).text
        assert context.read().text == context.read(remembers=False).text


def test_files_that_are_left_out_are_not_read(context: Context) -> None:
    """They may be large, or nobody's to read."""
    shutil.rmtree(context.index)
    _opened.clear()
    context.read(ignore="one\na.txt")
    assert {name for name in _opened if name.endswith(".txt")} == {"b.txt", "c.txt"}


def test_what_has_gone_is_forgotten(context: Context) -> None:
    """The index of a context whose directories get new names doesn't grow."""
    shutil.rmtree(context.folder / "one")
    context.read()
    left = DigestCache(context.index, str(context.folder))
    assert left.get("two") is not None
    assert left.get("one") is None
    assert left.get("one/deep") is None


def test_reading_a_part_keeps_the_rest(context: Context) -> None:
    """A build of one directory costs the next build of all of them nothing."""
    context.write("one/c.txt", "something else")
    context.settle()
    context.read("one")
    assert context.opened() == []


@pytest.mark.parametrize("damage", (b"", b"\0" * 100, None))
def test_a_damaged_index(context: Context, damage: bytes | None) -> None:
    """What a power cut has left of it is read as nothing."""
    (index,) = context.index.iterdir()
    data = index.read_bytes()
    index.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert context.read().text == context.read(remembers=False).text
    assert context.opened() == []


def test_names_that_are_hard_to_tell_apart(tmp_path: Path) -> None:
    """A line's end in a name doesn't make two trees the same."""
    found = set()
    for number, files in enumerate((("x\ny/f",), ("x/y\nf",), ("x/y", "x/f"), ("x/y/f",), ("x\n/y/f",))):
        context = Context(tmp_path / str(number))
        for name in files:
            context.write(f"odd/{name}", "")
        found.add(context.read("odd").text)
    assert len(found) == 5


def test_sockets_are_no_files(context: Context) -> None:
    """Nothing is told of them."""
    before = context.read().text
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(context.folder / "socket"))
    assert context.read().text == before


def test_changes_at_random(context: Context) -> None:
    """Whatever happens to a tree between two builds, with the clock going on or not."""
    seed = int(os.environ.get("PYCOMPOSE_READ_SEED") or time.time_ns() % 10**6)
    print(f"PYCOMPOSE_READ_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - for a tree
    names = ("a.txt", "b.txt", "one", "one/c.txt", "one/deep", "one/deep/d.txt", "two", "two/c.txt", "three")
    for number in range(STEPS):
        _disturb(context.folder, chance, names)
        if number % 40 == 0:
            context.settle()
        ignore = chance.choice(("", "", "one/*\n!one/deep", "**/*.txt\n!two/c.txt"))
        assert context.read(ignore=ignore).text == context.read(ignore=ignore, remembers=False).text


def _disturb(folder: Path, chance: random.Random, names: tuple[str, ...]) -> None:
    """Do one thing to the tree; what isn't possible isn't done."""
    path, other = (folder / chance.choice(names) for _ in range(2))
    status = path.lstat() if path.exists() else None
    try:
        match chance.randrange(8):
            case 0 | 1:
                path.write_text(chance.choice("xyz") * 3, encoding="ascii")
            case 2:
                path.mkdir(parents=True)
            case 3:
                path.rename(other)
            case 4:
                path.unlink()
            case 5:
                path.symlink_to(chance.choice(names))
            case 6:
                path.chmod(chance.choice((0o644, 0o700, 0o755)))
            case _:
                os.link(path, other)
        if status is not None and chance.random() < 0.5:
            os.utime(path, ns=(SECOND_NS, SECOND_NS), follow_symlinks=False)
    except OSError:
        pass
