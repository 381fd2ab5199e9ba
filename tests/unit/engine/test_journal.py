"""What happens to images, networks and volumes: written by many, read by who follows, of a bounded size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pycompose.engine import journal
from pycompose.engine.paths import StatePaths

if TYPE_CHECKING:
    from pathlib import Path


def paths(folder: Path) -> StatePaths:
    return StatePaths(root=folder / "lib", run=folder / "run")


def test_a_reader_hears_what_comes_after_it(tmp_path: Path) -> None:
    state = paths(tmp_path)
    journal.record(state, "volume", "create", "before", {"driver": "local"})
    reader = journal.JournalReader(state, from_now=True)
    assert list(reader.read()) == []
    journal.record(state, "network", "create", "1234", {"name": "n"})
    (event,) = reader.read()
    assert (event.kind, event.action, event.id, event.attributes) == (
        "network",
        "create",
        "1234",
        {"name": "n"},
    )
    assert event.time_ns > 0
    assert list(reader.read()) == []
    assert [found.id for found in journal.past(state)] == ["before", "1234"]
    reader.close()


def test_a_reader_is_there_before_the_first_event(tmp_path: Path) -> None:
    reader = journal.JournalReader(paths(tmp_path), from_now=True)
    assert list(reader.read()) == []
    journal.record(paths(tmp_path), "image", "pull", "a:1", {"name": "a"})
    assert [event.id for event in reader.read()] == ["a:1"]
    reader.close()


def test_many_write_at_once_and_nothing_is_lost_or_grows(tmp_path: Path) -> None:
    """Four times as much as is kept: who follows hears all of it in order, the directory stays small."""
    state = paths(tmp_path)
    count = journal.MOST_BYTES // 50
    reader = journal.JournalReader(state, from_now=True)
    heard: list[str] = []

    def write(number: int) -> None:
        journal.record(state, "volume", "create", str(number), {"name": "x" * 100})

    with ThreadPoolExecutor(4) as pool:
        for begin in range(0, count, 100):
            list(pool.map(write, range(begin, min(begin + 100, count))))
            heard += [event.id for event in reader.read()]
    assert sorted(map(int, heard)) == list(range(count))
    sizes = [entry.stat().st_size for entry in state.journal.iterdir()]
    assert sum(sizes) < 3 * journal.MOST_BYTES
    assert journal.past(state)[-1].id == heard[-1]
    reader.close()


def test_half_a_line_is_passed_over(tmp_path: Path) -> None:
    """Somebody was killed."""
    state = paths(tmp_path)
    journal.record(state, "volume", "create", "one", {})
    with (state.journal / journal.NAME).open("ab") as file:
        file.write(b'[1,"vol\n')
    journal.record(state, "volume", "create", "two", {})
    assert [event.id for event in journal.past(state)] == ["one", "two"]


def test_nobody_fails_for_it(tmp_path: Path) -> None:
    """Where nothing can be written, nothing is."""
    (tmp_path / "run").write_text("a file")
    journal.record(paths(tmp_path), "volume", "create", "x", {})
    assert journal.past(paths(tmp_path)) == []
