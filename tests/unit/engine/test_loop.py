"""The keeper's loop and the queues of its connections."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycompose.engine.config import LogConfig
from pycompose.engine.keeper import wire
from pycompose.engine.keeper.connection import ClientConnection
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.keeper.stdio import Output
from pycompose.engine.logs.writer import LogWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe; the reading end doesn't wait."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_handlers_are_called_until_they_stop_the_loop(pipe: tuple[int, int]) -> None:
    """Each time the descriptor is ready."""
    loop, seen = Loop(), []
    reader, writer = pipe
    os.write(writer, b"abc")

    def handler(_events: int) -> None:
        seen.append(os.read(reader, 1))
        if len(seen) == 3:
            loop.stop()

    loop.watch(reader, handler)
    loop.run()

    assert seen == [b"a", b"b", b"c"]


def test_timers_fire_in_order() -> None:
    """Not before they are due, however they were given."""
    loop, seen = Loop(), []
    begin = time.monotonic()
    loop.after(0.03, loop.stop)
    loop.after(0.02, lambda: seen.append(time.monotonic() - begin))
    loop.after(0.01, lambda: seen.append(time.monotonic() - begin))

    loop.run()

    assert len(seen) == 2
    assert 0.01 <= seen[0] <= seen[1]


def test_a_failing_handler_is_told_and_forgotten(
    pipe: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """One container's trouble doesn't end the loop, nor keep it busy."""
    loop, calls = Loop(), []
    reader, writer = pipe
    os.write(writer, b"x")

    def handler(_events: int) -> None:
        calls.append(1)
        raise RuntimeError("trouble")

    loop.watch(reader, handler)
    loop.after(0.03, loop.stop)
    loop.run()

    assert calls == [1]
    assert "trouble" in capsys.readouterr().err


class Echo:
    """Answers every request with its own number, and remembers who went."""

    def __init__(self) -> None:
        self.gone: list[ClientConnection] = []

    def handle(self, connection: ClientConnection, message: dict[str, Any], fds: list[int]) -> None:
        """Answer with the number of descriptors."""
        connection.send({"id": message["id"], "result": len(fds)}, fds)
        for fd in fds:
            os.close(fd)

    def closed(self, connection: ClientConnection) -> None:
        """Remember."""
        self.gone.append(connection)


def test_requests_and_answers_carry_descriptors() -> None:
    """They go in and come out as copies."""
    loop, echo = Loop(), Echo()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, open(os.devnull, "rb") as null:
        served = ClientConnection(ours, loop, echo)
        wire.send(theirs, wire.encode({"id": 0}), [null.fileno()])
        loop.after(0.02, loop.stop)
        loop.run()
        received = wire.receive(theirs)
        assert received is not None
        message, fds = received
        assert (message, len(fds)) == ({"id": 0, "result": 1}, 1)
        os.close(fds[0])
        served.close()


def test_a_client_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is bounded; nothing else notices."""
    monkeypatch.setattr("pycompose.engine.keeper.connection._MAX_QUEUE", 50)
    loop, echo = Loop(), Echo()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        slow = ClientConnection(ours, loop, echo)
        for number in range(2000):
            slow.send({"event": "x", "text": "y" * 1000, "number": number})
        assert echo.gone == [slow]
        slow.send({"event": "late"})
        numbers = []
        while (received := wire.receive(theirs)) is not None:
            numbers.append(received[0]["number"])
        assert numbers == list(range(len(numbers)))
        assert numbers


def test_too_long_an_answer_becomes_an_error() -> None:
    """The client that asked hears about it."""
    loop, echo = Loop(), Echo()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        sender = ClientConnection(ours, loop, echo)
        sender.send({"id": 7, "result": "x" * wire.MAX_BYTES})
        received = wire.receive(theirs)
        assert received is not None
        assert received[0]["id"] == 7
        assert "cannot send reply" in received[0]["error"]["message"]
        sender.close()


def test_output_is_copied_to_the_last_byte(tmp_path: Path) -> None:
    """More than one turn's worth is there when the writers are gone: all of it is in the log."""
    loop = Loop()
    output = Output(loop, LogWriter(tmp_path / "log", LogConfig()))
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "fifo", os.O_RDWR)
    output.add(reader, "stdout")
    lines = [f"line {number}" for number in range(5000)]
    os.write(writer, ("\n".join(lines) + "\n").encode()[:65536])
    os.close(writer)

    output.finish()

    text = (tmp_path / "log/container.log").read_text()
    copied = "".join(line.split(" ", 3)[3] + "\n" for line in text.splitlines() if " F " in line)
    assert copied.startswith("line 0\nline 1\n")
    assert len(copied) >= len(("\n".join(lines) + "\n").encode()[:65536]) - 2
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
