"""Volumes of the machine: listed, removed and pruned by who uses them."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import PycomposeError, VolumeError, VolumeInUse
from pycompose.engine.state import Status
from pycompose.machine import volumes
from pycompose.volumes.store import ANONYMOUS, PROJECT, VolumeStore

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return a machine with a used, a labelled and an anonymous volume."""
    state = StateFiles(tmp_path)
    state.volume("used")
    state.volume("labelled", tier="back")
    state.volume("nameless", **{ANONYMOUS: ""})
    state.container("web", volumes=("used",), status=Status.EXITED)
    return state


def left(state: StateFiles) -> list[str]:
    """Return the volumes that there are."""
    return [volume.name for volume in VolumeStore(state.paths).all()]


@pytest.mark.parametrize(
    ("filters", "names"),
    (
        ((), ["labelled", "nameless", "used"]),
        (("dangling=true",), ["labelled", "nameless"]),
        (("dangling=0",), ["used"]),
        (("label=tier",), ["labelled"]),
        (("label=tier=front",), []),
        (("name=se",), ["used"]),
        (("driver=local", "name=less"), ["nameless"]),
    ),
    ids=str,
)
def test_filters(state: StateFiles, filters: tuple[str, ...], names: list[str]) -> None:
    assert [row.name for row in volumes.rows(state.context, filters)] == names


@pytest.mark.parametrize("text", ("size=1", "dangling"))
def test_a_filter_that_nobody_knows(state: StateFiles, text: str) -> None:
    with pytest.raises(PycomposeError, match="cannot be used") as caught:
        volumes.rows(state.context, [text])
    assert caught.value.hint == "known: dangling, driver, label, name"


def test_one_in_use_stays(state: StateFiles) -> None:
    """Also when its container doesn't run."""
    with pytest.raises(VolumeInUse, match="in use by demo-web-1"):
        volumes.remove(state.context, "used", force=True)
    volumes.remove(state.context, "labelled")
    assert left(state) == ["nameless", "used"]


def test_one_that_is_not_there(state: StateFiles) -> None:
    with pytest.raises(VolumeError, match="no such volume"):
        volumes.remove(state.context, "gone")
    volumes.remove(state.context, "gone", force=True)


def test_pruning_takes_anonymous_ones_and_named_ones_if_asked(state: StateFiles) -> None:
    assert volumes.prune(state.context, everything=False).names == ("nameless",)
    assert volumes.prune(state.context, everything=True, labels=["tier=front"]).names == ()
    assert volumes.prune(state.context, everything=True).names == ("labelled",)
    assert left(state) == ["used"]


def test_pruning_spares_what_an_up_is_about_to_use(state: StateFiles) -> None:
    """It was made a moment ago, its container isn't there yet, and a supervisor holds the project."""
    state.volume("fresh", **{PROJECT: "coming", ANONYMOUS: ""})
    directory = state.paths.project_run("coming")
    directory.mkdir(parents=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert volumes.prune(state.context, everything=False).names == ("nameless",)
    assert volumes.prune(state.context, everything=False).names == ("fresh",)


def test_a_volume_without_a_name_is_anonymous(state: StateFiles) -> None:
    name = volumes.create(state.context, "", "local", {}, {})
    made = VolumeStore(state.paths).get(name)

    assert made is not None
    assert made.anonymous
    assert volumes.create(state.context, "used", "local", {}, {}) == "used"
