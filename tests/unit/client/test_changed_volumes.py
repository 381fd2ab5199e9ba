"""Volumes that aren't what the compose file says: whose data may go, and who is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.client.changed_volumes import expendable_volumes
from pycompose.labels import CONFIG_HASH, PROJECT
from pycompose.model import Project, Service, ServiceVolume, Volume

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


def project(*, external: bool = False) -> Project:
    """Return a project whose web has the volume `data`, whose hash is `new`; `idle` is nobody's."""
    mounted = ServiceVolume(kind="volume", source="data", target="/data")
    return Project(
        name="demo",
        directory="/",
        services={"web": Service(name="web", volumes=(mounted,)), "db": Service(name="db")},
        volumes={
            key: Volume(key=key, name=f"demo_{key}", hash="new", external=external)
            for key in ("data", "idle")
        },
    )


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return a machine where nobody says yes."""
    return StateFiles(tmp_path)


def asked(
    state: StateFiles, *services: str, answer: bool = True, yes: bool = False, external: bool = False
) -> list[str]:
    """Return what may go, and put the questions into the context's environment."""
    questions: list[str] = []

    def confirm(question: str) -> bool:
        questions.append(question)
        return answer

    state.context.confirm = confirm
    found = expendable_volumes(state.context, project(external=external), services or ("web", "db"), yes=yes)
    assert len(questions) <= 1
    state.context.environment = {"question": "".join(questions)}
    return found


@pytest.mark.parametrize(
    ("labels", "expendable"),
    (
        ({PROJECT: "demo", CONFIG_HASH: "old"}, ["data"]),
        ({PROJECT: "demo", CONFIG_HASH: "new"}, []),
        ({PROJECT: "demo"}, []),
    ),
    ids=("changed", "the same", "made without a hash"),
)
def test_a_volume_that_differs_is_asked_about(
    state: StateFiles, labels: dict[str, str], expendable: list[str]
) -> None:
    state.volume("demo_data", **labels)

    assert asked(state) == expendable
    assert bool(state.context.environment["question"]) == bool(expendable)
    assert not state.events


def test_who_says_no_keeps_the_data(state: StateFiles) -> None:
    state.volume("demo_data", **{PROJECT: "demo", CONFIG_HASH: "old"})
    assert asked(state, answer=False) == []
    assert "data will be lost" in state.context.environment["question"]


def test_who_has_said_yes_to_all_is_not_asked(state: StateFiles) -> None:
    state.volume("demo_data", **{PROJECT: "demo", CONFIG_HASH: "old"})
    assert asked(state, answer=False, yes=True) == ["data"]
    assert not state.context.environment["question"]


def test_others_volumes_are_warned_of(state: StateFiles) -> None:
    """Without labels of ours it was made by hand; neither is given up without being asked about."""
    state.volume("demo_data", **{PROJECT: "other", CONFIG_HASH: "new"})
    assert asked(state) == []
    (event,) = state.events
    assert 'created for project "other"' in event.text


@pytest.mark.parametrize("case", ("not there", "external", "not in scope"))
def test_what_is_nobodys_business(state: StateFiles, case: str) -> None:
    if case != "not there":
        state.volume("demo_data", **{PROJECT: "demo", CONFIG_HASH: "old"})
    services = ("db",) if case == "not in scope" else ("web",)

    assert asked(state, *services, external=case == "external") == []
    assert not state.context.environment["question"]
    assert not state.events
