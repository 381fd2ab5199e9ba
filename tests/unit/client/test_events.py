"""`events` of what is over: the journals that a project's supervisors have kept."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.client.events import events
from pycompose.client.query_options import EventsOptions
from pycompose.events import ContainerEvent

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


def event(time_ns: int, service: str = "web", *, oneoff: bool = False, **attributes: str) -> str:
    """Return a line of a journal."""
    made = ContainerEvent(
        time_ns=time_ns, action="start", id="1", name=f"demo-{service}-1", service=service, number=1, oneoff=oneoff,
        image="busybox", active=True, attributes=attributes,
    )  # fmt: skip
    return json.dumps(made.to_json())


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return a project with two journals, the older one renamed, and a line that was cut off by a crash."""
    state = StateFiles(tmp_path)
    directory = state.paths.project("demo")
    directory.mkdir(parents=True)
    (directory / "events.1").write_text(event(10) + "\n" + event(20, "db") + "\n", encoding="utf-8")
    lines = [event(30, oneoff=True), event(40, restarting="yes", tier="front"), '{"time_ns": 4']
    (directory / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return state


@pytest.mark.parametrize(
    ("options", "times"),
    (
        ({"since_ns": 1, "until_ns": 100}, [10, 20, 40]),
        ({"since_ns": 20, "until_ns": 100}, [20, 40]),
        ({"since_ns": 1, "until_ns": 20}, [10, 20]),
        ({"since_ns": 1, "until_ns": 100, "services": ("db",)}, [20]),
        ({"since_ns": 1, "until_ns": 100, "oneoffs": True}, [10, 20, 30, 40]),
        ({"until_ns": 100}, []),
    ),
    ids=str,
)
def test_what_lies_in_between(state: StateFiles, options: dict[str, Any], times: list[int]) -> None:
    """Both ends belong to it; one that has only an end is about what comes, of which there is nothing."""
    assert [view.time_ns for view in events(state.context, "demo", EventsOptions(**options))] == times


def test_attributes_are_the_images_the_names_and_labels(state: StateFiles) -> None:
    """What the supervisor notes for itself isn't shown."""
    *_, last = events(state.context, "demo", EventsOptions(since_ns=40, until_ns=100))

    assert last.attributes == {"image": "busybox", "name": "demo-web-1", "tier": "front"}


def test_a_project_that_never_was_has_no_events(tmp_path: Path) -> None:
    until_ns = time.time_ns() - 1
    assert (
        list(events(StateFiles(tmp_path).context, "none", EventsOptions(since_ns=1, until_ns=until_ns))) == []
    )
