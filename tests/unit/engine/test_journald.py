"""Lines for systemd's journal, received by a socket in its place."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycompose.engine.errors import EngineError
from pycompose.engine.logs.journald import Journal
from pycompose.engine.statefiles import write_json

ID = "0123456789abcdef" * 4


@pytest.fixture
def container(tmp_path: Path) -> Path:
    write_json(tmp_path / "config.json", {"id": ID, "name": "shop-web-1", "image": "web:1"})
    return tmp_path


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "journal"))
        server.settimeout(10)
        yield server


def fields(message: bytes) -> dict[bytes, bytes]:
    return dict(line.split(b"=", 1) for line in message.rstrip(b"\n").split(b"\n"))


def test_each_line_is_one_message(container: Path, receiver: socket.socket) -> None:
    """Docker's fields; errors have priority 3; what has no newline yet is marked."""
    journal = Journal(container, str(container / "journal"))
    journal.send("stdout", b"one=1\n\xff\x00\n")
    journal.send("stderr", b"Password: ")
    got = [fields(receiver.recv(65536)) for _ in range(3)]
    journal.close()

    assert got[0] == {
        b"CONTAINER_ID": b"0123456789ab",
        b"CONTAINER_ID_FULL": ID.encode(),
        b"CONTAINER_NAME": b"shop-web-1",
        b"CONTAINER_TAG": b"0123456789ab",
        b"IMAGE_NAME": b"web:1",
        b"SYSLOG_IDENTIFIER": b"0123456789ab",
        b"PRIORITY": b"6",
        b"MESSAGE": b"one=1",
    }
    assert got[1][b"MESSAGE"] == b"\xff\x00"
    assert (got[2][b"PRIORITY"], got[2][b"CONTAINER_PARTIAL_MESSAGE"]) == (b"3", b"true")


def test_a_stuck_journal_stops_nobody(container: Path, receiver: socket.socket) -> None:
    """What it doesn't take is counted; after a restart it takes lines again."""
    journal = Journal(container, str(container / "journal"))
    journal.send("stdout", b"x\n" * 10_000)
    assert journal.lost_lines > 0
    receiver.close()
    (container / "journal").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(container / "journal"))
        journal.send("stdout", b"back\n")
        assert fields(again.recv(65536))[b"MESSAGE"] == b"back"
    journal.close()


def test_no_journal_is_an_error(container: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot use journald: .*/nowhere: No such file"):
        Journal(container, str(container / "nowhere"))
