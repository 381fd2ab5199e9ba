"""What wakes the watcher, by itself: when it tells, and what of."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pycompose.watch.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

PATIENCE_S = 20.0


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.comparisons = 0
        self._changed = threading.Condition()
        self.wakeup = Wakeup(self)

    def touched(self, paths: Collection[str], replaced: Collection[str]) -> None:
        """Take events."""
        with self._changed:
            self.paths |= {*paths, *replaced}
            self._changed.notify_all()

    def recheck(self, directories: Collection[str] | None) -> None:
        """Count how often everything is to be compared."""
        with self._changed:
            self.comparisons += directories is None
            self._changed.notify_all()

    def degraded(self, text: str, hint: str) -> None:
        """There is no limit here."""
        raise AssertionError(text + hint)

    def failed(self, failure: Exception) -> None:
        """Nothing fails here."""
        raise AssertionError(failure)

    def until(self, done: Callable[[], bool]) -> bool:
        """Wait until something is so; False when it isn't in time."""
        with self._changed:
            return self._changed.wait_for(done, PATIENCE_S)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """Have somebody told of what happens in a directory, whose watch is there."""
    found = Listener()
    wakeup = found.wakeup
    wakeup.settle_s = 0.2
    wakeup.start([str(tmp_path)])
    assert found.until(lambda: found.comparisons > 0)
    yield found
    wakeup.close()


def test_a_save_is_told_of_at_once(listener: Listener, tmp_path: Path) -> None:
    """With its defaults the library takes 50 ms at least; what a busy machine adds isn't added every time."""
    took = []
    for number in range(20):
        path = tmp_path / f"f{number}"
        began_s = time.monotonic()
        path.write_text("x")
        assert listener.until(lambda path=path: str(path) in listener.paths)
        took.append(time.monotonic() - began_s)
    assert min(took) < 0.04


def test_who_never_pauses_is_told_of(listener: Listener, tmp_path: Path) -> None:
    """A file that is written all the time keeps nobody waiting for a silence."""
    deadline_s = time.monotonic() + PATIENCE_S
    path = tmp_path / "log"
    while str(path) not in listener.paths:
        path.write_text(str(time.monotonic()))
        assert time.monotonic() < deadline_s


def test_no_name_is_left_out(listener: Listener, tmp_path: Path) -> None:
    """The library's own list of what nobody wants isn't ours: `.venv` may be what is to be synced."""
    folders = [tmp_path / name for name in (".git", ".venv", "__pycache__", "node_modules", ".idea")]
    files = [tmp_path / name for name in ("a.pyc", "a.py~", ".a.swp", ".DS_Store")]
    for folder in folders:
        folder.mkdir()
    for file in files:
        file.touch()
    assert listener.until(lambda: listener.paths >= {str(path) for path in (*folders, *files)})


def test_after_a_silence_everything_is_compared(listener: Listener, tmp_path: Path) -> None:
    """Events get lost without a word: whatever was heard of, the truth is looked up once."""
    before = listener.comparisons
    (tmp_path / "a").write_text("x")
    assert listener.until(lambda: str(tmp_path / "a") in listener.paths)
    assert listener.until(lambda: listener.comparisons > before)


def test_nothing_is_lost_while_other_directories_are_wanted(listener: Listener, tmp_path: Path) -> None:
    """What is heard of at the moment that a directory is given up is told of, though nothing is compared then."""
    folders = [tmp_path / f"d{number}" for number in range(40)]
    for folder in folders:
        folder.mkdir()
    top = str(tmp_path)
    listener.wakeup.settle_s = 60
    before = listener.comparisons
    listener.wakeup.watch([top, *map(str, folders)])
    assert listener.until(lambda: listener.comparisons > before)
    for number in range(len(folders)):
        path = tmp_path / f"f{number}"
        path.write_text("x")
        listener.wakeup.watch([top, *map(str, folders[number + 1 :])])
        assert listener.until(lambda path=path: str(path) in listener.paths), path


def test_nobody_wakes_up_for_nothing(listener: Listener) -> None:
    """Who waits for events uses no processor: what there is to look at comes with a signal."""
    thread = listener.wakeup._thread
    before = switches(thread)
    thread.join(2.0)
    assert switches(thread) - before < 100, "every 4 ms would be 500"


def test_a_burst_of_events_does_not_wake_for_each(listener: Listener, tmp_path: Path) -> None:
    """Whoever copies what came first needs the interpreter: it is left alone for a step between two looks."""
    thread = listener.wakeup._thread
    path = tmp_path / "f"
    path.touch()
    before, began_s = switches(thread), time.monotonic()
    for number in range(5000):
        os.utime(path, ns=(number, number))
    took_ms = (time.monotonic() - began_s) * 1000
    assert switches(thread) - before < 50 + 2 * took_ms, f"{took_ms:.0f} ms"


def switches(thread: threading.Thread) -> int:
    """Return how often a thread has waited for something (proc_pid_status(5))."""
    text = Path(f"/proc/self/task/{thread.native_id}/status").read_text(encoding="ascii")
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
