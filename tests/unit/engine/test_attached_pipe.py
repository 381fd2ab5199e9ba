"""Output for a client that reads slowly, or has gone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator

import pytest
from pycompose.engine.keeper import attach
from pycompose.engine.keeper.attach import BUFFER_BYTES, AttachedPipe
from pycompose.engine.keeper.loop import Loop


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Give a pipe; the writing end belongs to what is tested."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)


def turn(loop: Loop, until: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10

    def look() -> None:
        if not until() and time.monotonic() < deadline:
            loop.after(0.001, look)
        else:
            loop.stop()

    loop.after(0, look)
    loop.run()
    assert until()


def drain(fd: int, into: bytearray) -> int:
    try:
        data = os.read(fd, 1 << 20)
    except BlockingIOError:
        data = b""
    into += data
    return len(into)


def test_what_goes_at_once_goes_at_once(ends: tuple[int, int]) -> None:
    """No turn of the loop is needed, and the end is the end of the file."""
    pipe = AttachedPipe(Loop(), ends[1], patient=False)
    pipe.write(b"hello")
    assert os.read(ends[0], 100) == b"hello"
    pipe.finish()

    assert pipe.closed
    assert os.read(ends[0], 100) == b""


def test_a_slow_reader_misses_what_does_not_fit_and_is_told(ends: tuple[int, int]) -> None:
    """Everything before it comes in order; what comes after it goes on as usual."""
    loop = Loop()
    pipe = AttachedPipe(loop, ends[1], patient=False)
    pipe.write(b"a" * BUFFER_BYTES)
    pipe.write(b"b" * BUFFER_BYTES)
    assert not pipe.full
    got = bytearray()
    turn(loop, lambda: drain(ends[0], got) and got.endswith(b"not read in time\r\n"))
    pipe.write(b"after")
    turn(loop, lambda: drain(ends[0], got) and got.endswith(b"after"))
    pipe.finish()

    assert re.fullmatch(
        rb"a{%d}\r\npycompose: %d bytes left out: not read in time\r\nafter" % (BUFFER_BYTES, BUFFER_BYTES),
        bytes(got),
    )


def test_a_patient_one_holds_its_container_up(ends: tuple[int, int]) -> None:
    """It is told when there is room again; not a byte is missing."""
    loop = Loop()
    pipe = AttachedPipe(loop, ends[1], patient=True)
    room: list[bool] = []
    pipe.on_room = lambda: room.append(pipe.full)
    pipe.write(b"a" * 2 * BUFFER_BYTES)
    assert pipe.full
    got = bytearray()
    turn(loop, lambda: drain(ends[0], got) == 2 * BUFFER_BYTES)
    pipe.finish()

    assert room[0] is False
    assert not pipe.full


def test_a_reader_that_goes(ends: tuple[int, int]) -> None:
    """Nobody waits for it any more, and what comes is dropped."""
    loop = Loop()
    reading, writing = os.pipe()
    pipe = AttachedPipe(loop, writing, patient=True)
    room: list[bool] = []
    pipe.on_room = lambda: room.append(True)
    pipe.write(b"a" * 2 * BUFFER_BYTES)
    os.close(reading)
    turn(loop, lambda: pipe.closed)
    pipe.write(b"more")
    pipe.finish()

    assert room
    assert not pipe.full
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)
    os.close(ends[1])


def test_the_end_waits_for_what_is_queued(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that has ended has its last output read all the same."""
    monkeypatch.setattr(attach, "_WRITE_BYTES", 1000)
    loop = Loop()
    pipe = AttachedPipe(loop, ends[1], patient=False)
    pipe.write(b"a" * 200_000)
    pipe.finish()
    assert not pipe.closed
    pipe.write(b"too late")
    got = bytearray()
    turn(loop, lambda: drain(ends[0], got) == 200_000 and pipe.closed)

    assert set(got) == {ord("a")}
