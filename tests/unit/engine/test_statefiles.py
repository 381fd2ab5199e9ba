"""State files: whole, by whomever they are written."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.statefiles import read_json, whole_file, write_json

if TYPE_CHECKING:
    from pathlib import Path


def test_threads_may_write_one_file(tmp_path: Path) -> None:
    """Each writes it as a whole, one of them last, and nothing stays beside it."""
    path = tmp_path / "runtime.json"

    def write(number: int) -> None:
        write_json(path, {"number": number, "filling": "x" * 10_000}, durable=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(400)))

    assert read_json(path)["number"] in range(400)
    assert [entry.name for entry in tmp_path.iterdir()] == ["runtime.json"]


def test_a_file_that_cannot_be_replaced(tmp_path: Path) -> None:
    """The error names the file itself, and nothing stays beside it."""
    path = tmp_path / "runtime.json"
    path.mkdir()

    with pytest.raises(OSError) as caught:
        write_json(path, {}, durable=False)

    assert caught.value.filename == str(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["runtime.json"]


def test_a_file_of_the_user_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.tar"
    path.write_bytes(b"old")

    def fail() -> None:
        with whole_file(str(path)) as file:
            file.write(b"new")
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail()
    assert path.read_bytes() == b"old"
    with whole_file(str(path)) as file:
        file.write(b"new")

    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.tar"]


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    """A file in the place of a link or a FIFO, or of the machine's `/dev/null`, would be the end of it."""
    link, fifo, target = tmp_path / "link", tmp_path / "fifo", tmp_path / "target"
    target.touch()
    link.symlink_to(target)
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    for path in (link, fifo):
        with whole_file(str(path)) as file:
            file.write(b"new")

    assert (os.read(reader, 10), target.read_bytes()) == (b"new", b"new")
    os.close(reader)
    assert (link.is_symlink(), fifo.is_fifo()) == (True, True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fifo", "link", "target"]
