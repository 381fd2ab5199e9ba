"""When the keeper starts a supervisor again, and when not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pycompose.engine.keeper import supervisor_restart
from pycompose.engine.keeper.loop import Loop


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the waits short; what is started leaves a line here."""
    monkeypatch.setattr(supervisor_restart, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(supervisor_restart, "MOST_DELAY_S", 0.01)
    return tmp_path / "marks"


def command(marks: Path) -> list[str]:
    """Return a program that leaves a mark and ends, as a supervisor would that dies at once."""
    return ["/bin/sh", "-c", f'echo "$WHO" >> {marks}']


def run(loop: Loop, seconds: float) -> None:
    """Let the loop run for a while."""
    loop.after(seconds, loop.stop)
    loop.run()


def heard(loop: Loop, capfd: pytest.CaptureFixture[str], text: str) -> str:
    """Let the loop run until `text` is said, for 30 s at most; return all that is said."""
    said, until = "", time.monotonic() + 30
    while text not in said and time.monotonic() < until:
        run(loop, 0.05)
        said += capfd.readouterr().err
    return said


def test_one_that_leaves_without_a_word_is_started_again(
    marks: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is tried a number of times, with its environment, then given up with a word in the log."""
    loop, supervisor = Loop(), object()
    restarter = supervisor_restart.SupervisorRestarter(loop)
    restarter.register(supervisor, command(marks), {"WHO": "me"})

    restarter.closed(supervisor)

    assert "not started again" in heard(loop, capfd, "not started again")
    assert marks.read_text() == "me\n" * supervisor_restart.MOST_TRIES


def test_one_that_says_goodbye_is_not(marks: Path) -> None:
    """Neither is it for a connection that isn't the supervisor's, nor when somebody else has come meanwhile."""
    loop, supervisor, other = Loop(), object(), object()
    restarter = supervisor_restart.SupervisorRestarter(loop)
    restarter.register(supervisor, command(marks), {})
    restarter.closed(other)
    run(loop, 0.05)
    restarter.closed(supervisor)
    restarter.register(other, command(marks), {})
    run(loop, 0.05)
    restarter.register(other, (), {})
    restarter.closed(other)
    run(loop, 0.05)

    assert not marks.exists()


def test_what_cannot_be_started_is_told(marks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A program that has gone, as after an upgrade, ends in messages, not in an error of the keeper."""
    loop, supervisor = Loop(), object()
    restarter = supervisor_restart.SupervisorRestarter(loop)
    restarter.register(supervisor, [str(marks / "nothere")], {})

    restarter.closed(supervisor)

    said = heard(loop, capfd, "not started again")
    assert said.count("cannot start") == supervisor_restart.MOST_TRIES
    assert "not started again" in said
