"""Containers of all projects: found by name or id, filtered, and asked for what they can do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from pycompose.client.query_options import LogsOptions
from pycompose.engine.errors import NoSuchContainer, PycomposeError, StateError
from pycompose.engine.state import Status
from pycompose.machine import container_changes, containers

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return an empty machine."""
    return StateFiles(tmp_path)


def test_a_container_has_a_name_an_id_and_beginnings_of_it(state: StateFiles) -> None:
    """A name goes before an id that begins so; docker's names begin with a slash."""
    first, second = state.container("web"), state.container("db", name="01")

    def found(text: str) -> str:
        return containers.find(state.context, text).id

    assert [found(text) for text in ("demo-web-1", "/demo-web-1", first, first[:4])] == [first] * 4
    assert found("01") == second


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("0", "several ids begin so"),
        ("", "no such container"),
        ("a/b", "no such container"),
        ("../x", "no such"),
    ),
)
def test_what_is_not_found(state: StateFiles, text: str, message: str) -> None:
    state.container("web")
    state.container("db")
    with pytest.raises(NoSuchContainer, match=message):
        containers.find(state.context, text)


def test_nothing_is_found_on_a_machine_without_state(state: StateFiles) -> None:
    with pytest.raises(NoSuchContainer):
        containers.find(state.context, "any")
    assert containers.views(state.context, everything=True) == []


@pytest.mark.parametrize(
    ("filters", "names"),
    (
        ((), ["other-db-1", "demo-web-1"]),
        (("name=web",), ["demo-web-1"]),
        (("id=03",), ["other-db-1"]),
        (("project=demo",), ["demo-web-1"]),
        (("status=exited",), ["demo-job-1"]),
        (("exited=3",), ["demo-job-1"]),
        (("exited=+03",), ["demo-job-1"]),
        (("exited=0",), []),
        (("status=dead",), []),
        (("label=tier=front",), ["demo-web-1"]),
        (("ancestor=busybox",), ["demo-web-1"]),
        (("ancestor=sha256:aa",), ["other-db-1"]),
        (("volume=data",), ["demo-web-1"]),
        (("volume=/data",), ["demo-web-1"]),
        (("network=front",), ["demo-web-1"]),
        (("health=none",), ["other-db-1", "demo-web-1"]),
        (("project=demo", "status=running"), ["demo-web-1"]),
    ),
    ids=str,
)
def test_filters(state: StateFiles, filters: tuple[str, ...], names: list[str]) -> None:
    """All of them have to fit; one that is about ends shows stopped containers too; the newest comes first."""
    front = {"endpoints": [{"network": "front"}]}
    state.container("web", image="busybox", volumes=("data",), labels={"tier": "front"}, runtime=front)
    state.container("job", status=Status.EXITED, exit_code=3)
    state.container("db", project="other", image_id="sha256:aa", runtime={"endpoints": []})

    assert [view.name for view in containers.views(state.context, everything=False, filters=filters)] == names


@pytest.mark.parametrize("text", ("colour=red", "name"))
def test_a_filter_that_nobody_knows(state: StateFiles, text: str) -> None:
    with pytest.raises(PycomposeError, match="cannot be used") as caught:
        containers.views(state.context, everything=True, filters=[text])
    assert "ancestor" in str(caught.value.hint)


@pytest.mark.parametrize("text", ("status=bogus", "status=Running", "health=", "exited=abc", "exited=1_0"))
def test_a_value_that_no_container_has(state: StateFiles, text: str) -> None:
    """In Docker's words."""
    with pytest.raises(PycomposeError, match=re.escape(f"invalid filter '{text}'")):
        containers.views(state.context, everything=True, filters=[text])


def test_what_a_stopped_container_can_not_do(state: StateFiles) -> None:
    """Nobody is asked for it: there may be no supervisor."""
    state.container("web", status=Status.EXITED)
    with pytest.raises(StateError, match="is not running"):
        container_changes.kill(state.context, "demo-web-1", "KILL")
    with pytest.raises(StateError, match="is not running"):
        container_changes.pause(state.context, "demo-web-1", on=True)


def test_a_running_container_is_not_removed_by_accident(state: StateFiles) -> None:
    state.container("web")
    with pytest.raises(StateError, match="it is running") as caught:
        container_changes.remove(state.context, "demo-web-1", force=False, volumes=False)
    assert "--force" in str(caught.value.hint)


def test_waiting_for_one_that_has_ended(state: StateFiles) -> None:
    state.container("job", status=Status.EXITED, exit_code=7)
    assert containers.wait(state.context, "demo-job-1") == 7


def test_one_that_has_never_run_has_no_logs(state: StateFiles) -> None:
    state.container("job", status=Status.CREATED)
    assert list(containers.logs(state.context, "demo-job-1", LogsOptions())) == []


def test_pruning_leaves_what_runs_or_will(state: StateFiles) -> None:
    """Nothing is left to remove, so no supervisor is asked."""
    state.container("web")
    state.container("again", status=Status.EXITED, runtime={"restarting": True})
    state.container("labelled", status=Status.EXITED, labels={"keep": ""})

    assert container_changes.prune(state.context, labels=["other"]).names == ()
