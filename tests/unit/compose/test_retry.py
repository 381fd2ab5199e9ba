"""Asking once more, after a process of ours has died."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.engine.errors import EngineError, KeeperLost, PycomposeError
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase
from pycompose.ipc.requests import DownRequest, KillRequest, StopRequest, SupervisorRequest
from pycompose.ipc.retry import persistently


class Answers:
    """Work that fails with each of `errors` in turn, then succeeds."""

    def __init__(self, *errors: PycomposeError) -> None:
        self.errors = list(errors)
        self.events: list[Event] = []

    def __call__(self) -> str:
        """Fail, or return "done"."""
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def asked(self, request: SupervisorRequest[Any]) -> str:
        """Ask persistently."""
        return persistently(request, self, self.events.append)


@pytest.mark.parametrize(("error", "who"), ((KeeperLost("x"), "keeper"), (NotRunning("x"), "supervisor")))
def test_it_is_asked_once_more_with_one_line(error: PycomposeError, who: str) -> None:
    work = Answers(error)
    assert work.asked(StopRequest()) == "done"
    (event,) = work.events
    assert event.phase is Phase.WARNING
    assert f"{who} has died" in event.text


def test_nothing_is_said_when_all_is_well() -> None:
    work = Answers()
    assert work.asked(StopRequest()) == "done"
    assert not work.events


@pytest.mark.parametrize(
    ("request_", "errors"),
    (
        (KillRequest(signal="TERM"), (KeeperLost("once"),)),
        (StopRequest(), (EngineError("own"),)),
        (StopRequest(), (KeeperLost("first"), KeeperLost("second"))),
        (DownRequest(), (NotRunning("first"), EngineError("then"))),
    ),
)
def test_the_last_error_is_the_answer(
    request_: SupervisorRequest[Any], errors: tuple[PycomposeError, ...]
) -> None:
    """A signal isn't sent twice, a failure of another kind isn't tried again, and a second death is one too many."""
    with pytest.raises(PycomposeError, match=errors[-1].message):
        Answers(*errors).asked(request_)
