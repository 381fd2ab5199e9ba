"""Output passed on as it arrives: from the first byte to the last, to readers that are fast, slow, or gone."""

from __future__ import annotations

import os
import select
import threading

import pytest
from pycompose.engine.errors import NoSuchContainer

from tests.support.lab import WAIT_S, Lab


class Reader:
    """A thread that collects what comes out of a pipe until its end."""

    def __init__(self) -> None:
        """Make the pipe; `end` is for the keeper and is closed by `start`."""
        self._reading, self.end = os.pipe()
        self.data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Close our copy of the end that the keeper has, and read."""
        os.close(self.end)
        self._thread.start()

    def wait(self) -> bytes:
        """Return everything, when the end of it has come."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the end didn't come"
        return self.data

    def _read(self) -> None:
        with os.fdopen(self._reading, "rb", buffering=0) as file:
            while data := file.read(1 << 16):
                self.data += data


def attached(lab: Lab, container: str, *, patient: bool = True) -> tuple[Reader, Reader]:
    """Attach two readers to a container that isn't prepared yet."""
    out, err = Reader(), Reader()
    lab.keeper.attach(container, stdout=out.end, stderr=err.end, patient=patient, early=True)
    out.start()
    err.start()
    return out, err


def test_everything_from_the_first_byte_to_the_last(lab: Lab) -> None:
    """Bytes of any kind, without a newline, by stream; the end comes after the last one."""
    container = lab.make(r"printf 'a\0b\377'; printf err >&2; printf last")
    out, err = attached(lab, container)

    lab.keeper.start_container(container)

    assert out.wait() == b"a\0b\xfflast"
    assert err.wait() == b"err"
    assert lab.output(container, "stderr") == "err\n"


def test_a_prompt_is_passed_on_at_once(lab: Lab) -> None:
    """Text without a newline doesn't wait for one, and a later reader sees what comes after it."""
    container = lab.make("printf 'name? '; read name; printf 'hello %s' $name", process={"stdin_open": True})
    reading, writing = os.pipe()
    lab.keeper.attach(container, stdout=writing, early=True)
    os.close(writing)

    lab.keeper.start_container(container)

    assert os.read(reading, 100) == b"name? "
    late = Reader()
    ends = lab.keeper.attach(container, stdout=late.end)
    late.start()
    assert ends.stdin is not None
    os.write(ends.stdin, b"you\n")
    os.close(ends.stdin)
    assert late.wait() == b"hello you"
    assert os.read(reading, 100) == b"hello you"
    assert os.read(reading, 100) == b""
    os.close(reading)


def test_input_ends_when_the_last_copy_is_closed(lab: Lab) -> None:
    """Once the keeper has given up its own end, the end of ours is the end of input."""
    container = lab.make("cat; echo done", process={"stdin_open": True})
    out, _err = attached(lab, container)
    lab.keeper.start_container(container)
    ends = lab.keeper.attach(container)
    assert ends.stdin is not None
    lab.keeper.close_stdin(container)

    os.write(ends.stdin, b"text")
    os.close(ends.stdin)

    assert out.wait() == b"textdone\n"
    assert not (lab.paths.container_run(container) / "stdin").exists()


def test_a_terminal_is_passed_on(lab: Lab) -> None:
    """What a terminal shows goes to stdout, and what is typed arrives."""
    container = lab.make("tty -s && read line && echo got $line", process={"tty": True, "stdin_open": True})
    out, err = attached(lab, container)
    lab.keeper.start_container(container)
    ends = lab.keeper.attach(container)
    assert ends.terminal is not None

    os.write(ends.terminal, b"this\n")
    os.close(ends.terminal)

    assert out.wait() == b"this\r\ngot this\r\n"
    assert err.wait() == b""


def test_a_patient_reader_gets_every_byte(lab: Lab) -> None:
    """Eight megabytes for a reader that starts late: the container waits, nobody else does."""
    container = lab.make("head -c 8000000 /dev/zero; echo end")
    out, err = Reader(), Reader()
    lab.keeper.attach(container, stdout=out.end, stderr=err.end, patient=True, early=True)
    err.start()
    lab.keeper.start_container(container)
    assert lab.run("echo quick") == (0, "quick\n")
    assert lab.keeper.list()[0]["status"] == "running"

    out.start()

    assert len(out.wait()) == 8000004
    assert lab.exit_code(container) == 0


def test_a_slow_reader_is_told_what_it_missed(lab: Lab) -> None:
    """Without patience the container isn't held up: what doesn't fit is left out, and counted."""
    container = lab.make(
        "head -c 8000000 /dev/zero; echo done >&2; read x; echo end", process={"stdin_open": True}
    )
    out, err = Reader(), Reader()
    lab.keeper.attach(container, stdout=out.end, stderr=err.end, early=True)
    lab.keeper.start_container(container)
    lab.wait_for_output(container, "done")

    out.start()
    err.start()
    ends = lab.keeper.attach(container)
    assert ends.stdin is not None
    os.write(ends.stdin, b"\n")
    os.close(ends.stdin)

    data = out.wait()
    kept, _, rest = data.partition(b"\r\npycompose: ")
    lost = int(rest.split()[0])
    assert len(kept) + lost in (8000000, 8000004)
    assert 1 << 20 <= len(kept) < 2 << 20


@pytest.mark.parametrize("patient", (False, True))
def test_a_reader_that_goes_away_is_forgotten(lab: Lab, patient: bool) -> None:  # noqa: FBT001 - a parameter
    """A closed pipe neither stops the container nor its log."""
    container = lab.make(
        "head -c 4000000 /dev/zero | tr '\\0' x; echo end; read x; echo after", process={"stdin_open": True}
    )
    reading, writing = os.pipe()
    lab.keeper.attach(container, stdout=writing, patient=patient, early=True)
    os.close(writing)
    lab.keeper.start_container(container)
    select.select([reading], [], [], WAIT_S)
    os.close(reading)
    lab.wait_for_output(container, "end")

    lab.keeper.close_stdin(container)

    assert lab.exit_code(container) == 0
    assert lab.output(container).endswith("after\n")


def test_readers_end_when_the_container_never_runs(lab: Lab) -> None:
    """A start that fails, and a container that is removed instead of started, are ends too."""
    missing, removed = lab.make(["nothere"]), lab.make("true")
    out, _err = attached(lab, missing)
    with pytest.raises(Exception, match="cannot execute nothere"):
        lab.keeper.start_container(missing)
    assert out.wait() == b""
    out, _err = attached(lab, removed)
    lab.keeper.discard(removed)
    assert out.wait() == b""
    with pytest.raises(NoSuchContainer):
        lab.keeper.attach(missing)
