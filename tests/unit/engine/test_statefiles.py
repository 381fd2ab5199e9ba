"""State files: whole, by whomever they are written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.statefiles import read_json, write_json

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
