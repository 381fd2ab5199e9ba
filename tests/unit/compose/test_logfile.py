"""The supervisor's log doesn't grow without end."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from pycompose.supervisor.logfile import EventJournal, LogFile


def test_it_begins_anew_and_keeps_one_older_file(tmp_path: Path) -> None:
    """Every record is whole; both files stay near the limit; descriptor 2 goes along."""
    saved = os.dup(2)
    try:
        handler = LogFile(tmp_path / "supervisor.log", most_bytes=1000)
        for number in range(100):
            handler.emit(
                logging.LogRecord("x", logging.INFO, "", 0, f"record {number:03} {'y' * 40}", (), None)
            )
        os.write(2, b"from below\n")
        handler.close()
    finally:
        os.dup2(saved, 2)
        os.close(saved)

    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(files) == {"supervisor.log", "supervisor.log.1"}
    assert all(len(text) < 1100 for text in files.values())
    assert files["supervisor.log"].endswith("from below\n")
    lines = (files["supervisor.log.1"] + files["supervisor.log"]).splitlines()[:-1]
    assert lines[-1].startswith("record 099")
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 100))


def test_a_journal_keeps_one_older_file(tmp_path: Path) -> None:
    """Every line is whole, and a journal that is there already goes on."""
    path = tmp_path / "events.jsonl"
    journal = EventJournal(path, most_bytes=1000)
    for number in range(100):
        if number % 30 == 0:
            journal = EventJournal(path, most_bytes=1000)
        journal.append({"number": number, "text": "é" * 20})
        if number % 30 == 29:
            journal.close()
    journal.close()

    files = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(files) == {"events.jsonl", "events.1"}
    assert all(len(text) < 1200 for text in files.values())
    numbers = [
        json.loads(line)["number"]
        for name in ("events.1", "events.jsonl")
        for line in files[name].splitlines()
    ]
    assert numbers == list(range(numbers[0], 100))


def test_a_journal_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    """Once it can be written again, it is."""
    journal = EventJournal(tmp_path / "later/events.jsonl", most_bytes=1000)
    journal.append({"number": 1})
    (tmp_path / "later").mkdir()

    journal.append({"number": 2})

    journal.close()
    assert json.loads((tmp_path / "later/events.jsonl").read_text()) == {"number": 2}
