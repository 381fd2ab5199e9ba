"""From events to files, without a container: after any changes a directory is what the tree outside is."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest
from pycompose.watch.manifest import SourceManifest
from pycompose.watch.matching import Matcher
from pycompose.watch.mirror import Mirror
from pycompose.watch.rules import FileRule
from pycompose.watch.view import View
from pycompose.watch.wakeup import Wakeup

from tests.support.trees import Vandal, difference, read_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

SEED = int(os.environ.get("PYCOMPOSE_WATCH_SEED", "0")) or time.time_ns() % 1_000_000


class Copy:
    """Keeps `root`/app like `source`, as the watcher's loop does it."""

    def __init__(self, source: Path, root: Path, ledger: Path) -> None:
        rule = FileRule(
            service="web",
            index=0,
            action="sync",
            path=str(source),
            target="/app",
            matcher=Matcher((), (), "", None),
        )
        self._manifest = SourceManifest([str(source)], lambda _: True)
        self._view = View([rule])
        self._mirror = Mirror(ledger)
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY)
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._wakeup = Wakeup(self)
        self._thread = threading.Thread(target=self._run)
        self._changed(self._manifest.scan())
        self._wakeup.start(self._manifest.directories)
        self._thread.start()

    def touched(self, paths: Collection[str], replaced: Collection[str]) -> None:
        """Take events."""
        self._queue.put(lambda: self._look(paths, replaced))

    def recheck(self, directories: Collection[str] | None) -> None:
        """Take doubts."""
        self._queue.put(lambda: self._scan(directories))

    def degraded(self, text: str, hint: str) -> None:
        """There is no limit here."""
        raise AssertionError(text + hint)

    def failed(self, failure: Exception) -> None:
        """Nothing fails here."""
        raise AssertionError(failure)

    def close(self) -> None:
        """End."""
        self._wakeup.close()
        self._queue.put(None)
        self._thread.join()
        os.close(self._root)

    def _run(self) -> None:
        while (call := self._queue.get()) is not None:
            call()

    def _look(self, paths: Collection[str], replaced: Collection[str]) -> None:
        self._changed(self._manifest.look(paths, replaced))
        if self._manifest.renewed:
            self._manifest.renewed = False
            self._wakeup.watch(self._manifest.directories, anew=True)

    def _scan(self, directories: Collection[str] | None) -> None:
        changed = self._manifest.scan() if directories is None else self._manifest.recheck(directories)
        self._changed(changed)
        if changed and directories is None:
            self._wakeup.watch(self._manifest.directories, anew=True)

    def _changed(self, changed: set[str]) -> None:
        if changed:
            self._wakeup.watch(self._manifest.directories)
            outcome = self._mirror.sync(self._root, self._view, self._view.update(changed, self._manifest))
            if outcome.again:
                self.touched(tuple(outcome.again), ())


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Make a source, a root and a place for the ledger."""
    found = tmp_path / "src", tmp_path / "root", tmp_path / "ledger"
    for path in found:
        path.mkdir()
    return found


@pytest.fixture
def copy(places: tuple[Path, Path, Path]) -> Iterator[Copy]:
    """Start to copy."""
    found = Copy(*places)
    yield found
    found.close()


def same(places: tuple[Path, Path, Path]) -> None:
    """Wait until both are the same."""
    deadline = time.monotonic() + 20
    while wrong := difference(read_tree(places[0]), read_tree(places[1] / "app")):
        assert time.monotonic() < deadline, wrong
        time.sleep(0.02)


def until(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("copy")
def test_random_changes(places: tuple[Path, Path, Path]) -> None:
    """Everything that can be done to a tree, for a second."""
    print(f"PYCOMPOSE_WATCH_SEED={SEED}")
    vandal = Vandal(places[0], SEED)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        for _ in range(20):
            vandal.act()
        time.sleep(0.005)
    same(places)


@pytest.mark.usefixtures("copy")
def test_how_editors_save(places: tuple[Path, Path, Path]) -> None:
    """The ways of vim, VS Code, JetBrains, `sed -i`, rsync and git, with what they leave beside the file."""
    source = places[0]
    file = source / "a.py"
    file.write_text("0")
    same(places)
    # vim: a backup is moved aside, the file is written anew, the backup goes (backupcopy=no); 4913 tries the directory.
    (source / "4913").touch()
    (source / "4913").unlink()
    (source / ".a.py.swp").write_text("swap")
    file.rename(source / "a.py~")
    file.write_text("vim")
    (source / "a.py~").unlink()
    (source / ".a.py.swp").unlink()
    same(places)
    # VS Code, nano: into the file.
    with file.open("r+") as opened:
        opened.truncate()
        opened.write("code")
    same(places)
    # JetBrains: a temporary file, the old one aside, the new one to its place.
    (source / "a.py___jb_tmp___").write_text("jetbrains")
    file.rename(source / "a.py___jb_old___")
    (source / "a.py___jb_tmp___").rename(file)
    (source / "a.py___jb_old___").unlink()
    same(places)
    # sed -i, rsync: a file with another name, moved over it, with the mode of the old one. Twice, and once more.
    for number in range(3):
        beside = source / f".a.py.{number}"
        beside.write_text(f"sed {number}")
        beside.chmod(0o640)
        beside.replace(file)
        same(places)
    # git: unlinked and made anew.
    file.unlink()
    file.write_text("git")
    same(places)
    assert (places[1] / "app/a.py").read_text() == "git"
    # Twice within one tick of the clock, of the same size.
    for text in ("aaa", "bbb"):
        file.write_text(text)
    same(places)


@pytest.mark.usefixtures("copy")
def test_names_that_are_no_text(places: tuple[Path, Path, Path]) -> None:
    """They end what watches, which is made anew; files and directories."""
    raw = os.fsencode(places[0])
    with open(raw + b"/\xff", "w", encoding="ascii") as file:
        file.write("x")
    os.mkdir(raw + b"/d\xfe")
    with open(raw + b"/d\xfe/f", "w", encoding="ascii") as file:
        file.write("y")
    same(places)
    (places[0] / "after").write_text("z")
    same(places)
    os.unlink(raw + b"/\xff")
    same(places)


@pytest.mark.usefixtures("copy")
def test_deep_trees_at_once(places: tuple[Path, Path, Path]) -> None:
    """`mkdir -p a/b/c` and a file in it: what watches isn't told of it."""
    for number in range(30):
        deep = places[0] / f"a{number}/b/c"
        deep.mkdir(parents=True)
        (deep / "f").write_text(str(number))
    same(places)


@pytest.mark.usefixtures("copy")
def test_trees_deeper_than_a_path(places: tuple[Path, Path, Path]) -> None:
    """Names of 255 bytes, more of them than the kernel takes in one path: they come, change, and go."""
    name = "n" * 255
    fds = [os.open(places[0], os.O_RDONLY)]
    for _ in range(20):
        os.mkdir(name, dir_fd=fds[-1])
        fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))
        deep_write(fds[-1], name[1:], "one")
    os.symlink("text", "link", dir_fd=fds[-1])

    def there() -> str:
        return deep_read(places[1] / "app", [name] * 20, name[1:])

    until(lambda: there() == "one")
    deep_write(fds[-1], name[1:], "two")
    until(lambda: there() == "two")
    assert deep_read(places[1] / "app", [name] * 20, "link") == "text"
    for number in range(20, 0, -1):
        for found in os.listdir(fds[number]):
            os.unlink(found, dir_fd=fds[number])
        os.rmdir(name, dir_fd=fds[number - 1])
    until(lambda: os.listdir(places[1] / "app") == [])
    for fd in fds:
        os.close(fd)


def deep_write(directory: int, name: str, text: str) -> None:
    """Write a file in an open directory."""
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=directory), "w") as file:
        file.write(text)


def deep_read(top: Path, names: list[str], last: str) -> str:
    """Return what is in a file below directories, or the text of a link; "" while it isn't there."""
    try:
        fd = os.open(top, os.O_RDONLY)
        for name in names:
            below = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
    except FileNotFoundError:
        return ""
    try:
        return os.readlink(last, dir_fd=fd)
    except FileNotFoundError:
        return ""
    except OSError:
        with open(os.open(last, os.O_RDONLY, dir_fd=fd)) as file:
            return file.read()
    finally:
        os.close(fd)


def test_a_tree_that_comes_later(places: tuple[Path, Path, Path]) -> None:
    """What there is of the way to it is watched; when it has gone, so have the files, and it may come again."""
    source, root, ledger = places
    later = source / "not/yet"
    with contextlib.closing(Copy(later, root, ledger)) as copy:
        copy._wakeup.settle_s = 0.1
        for text in ("one", "two"):
            later.mkdir(parents=True)
            (later / "f").write_text(text)
            same((later, root, ledger))
            (later / "f").write_text(f"{text} and more")
            same((later, root, ledger))
            shutil.rmtree(source / "not")
            same((later, root, ledger))


def test_one_file_that_is_replaced(places: tuple[Path, Path, Path]) -> None:
    """Its directory is watched: the third file under the name is as good as the first, and one that comes anew."""
    source, root, ledger = places
    file, there = source / "f", root / "app"
    file.write_text("0")
    with contextlib.closing(Copy(file, root, ledger)):
        for number in range(3):
            beside = source / "beside"
            beside.write_text(f"number {number}")
            beside.replace(file)
            until(lambda number=number: there.exists() and there.read_text() == f"number {number}")
        file.unlink()
        until(lambda: not there.exists())
        file.write_text("again")
        until(lambda: there.exists() and there.read_text() == "again")
    assert os.listdir(root) == ["app"]


@pytest.mark.usefixtures("copy")
def test_links(places: tuple[Path, Path, Path]) -> None:
    """They are copied as they are, not followed: a loop, one to a directory, one out of the tree."""
    source = places[0]
    (source / "d").mkdir()
    (source / "d/loop").symlink_to("..")
    (source / "to").symlink_to("d")
    (source / "out").symlink_to("/etc")
    same(places)
    (source / "to").unlink()
    (source / "to").mkdir()
    (source / "to/f").write_text("")
    same(places)
