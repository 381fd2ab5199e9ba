"""Which containers come back with the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.state import Status
from pycompose.machine.boot import boot, returns, shutdown
from pycompose.model import Restart
from pycompose.state.boot import LastStatus, last_status, note, note_change
from pycompose.state.snapshot import STANDALONE

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("policy", "those"),
    (
        ("no", set()),
        ("always", {LastStatus.UP, LastStatus.ENDED, LastStatus.STOPPED}),
        ("unless-stopped", {LastStatus.UP, LastStatus.ENDED}),
        ("on-failure", {LastStatus.UP}),
    ),
)
def test_policies(policy: str, those: set[LastStatus]) -> None:
    """One that was never started stays where it is."""
    assert {last for last in LastStatus if returns(Restart(kind=policy), last)} == those
    assert not returns(Restart(kind=policy), None)


def test_what_is_noted_outlives_a_power_cut(tmp_path: Path) -> None:
    """An empty file is what a cut-off write leaves: the container was up."""
    state = StateFiles(tmp_path)
    container = state.container("web")
    note_change(state.paths, container, LastStatus.ENDED)
    assert last_status(state.paths, container) is None, "a container without a policy gets no note"

    note(state.paths, container, LastStatus.UP)
    note_change(state.paths, container, LastStatus.STOPPED)
    assert last_status(state.paths, container) is LastStatus.STOPPED
    (state.paths.container(container) / "last").write_bytes(b"")
    assert last_status(state.paths, container) is LastStatus.UP


def test_nothing_is_done_for_those_that_stay(tmp_path: Path) -> None:
    """Containers of compose files, running ones, and those without a policy: no supervisor is asked for any."""
    state = StateFiles(tmp_path)
    for project, status in (
        ("demo", Status.EXITED),
        (STANDALONE, Status.RUNNING),
        (STANDALONE, Status.EXITED),
    ):
        container = state.container("web", project=project, status=status, name=f"{project}{status.value}")
        state.service_record(container, restart="always" if project == "demo" else "unless-stopped")
        note(state.paths, container, LastStatus.STOPPED)
    told: list[str] = []

    boot(state.context, told.append)

    assert told == []


def test_a_shutdown_without_containers_asks_nobody(tmp_path: Path) -> None:
    state = StateFiles(tmp_path)
    state.container("web", project=STANDALONE, status=Status.EXITED)
    assert shutdown(state.context, None) == []
