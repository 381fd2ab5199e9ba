"""`logs -f` where nobody tells of an end: the supervisor has gone together with its last container."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from pycompose.client.logs import follow_logs
from pycompose.client.query_options import LogsOptions
from pycompose.client.views import ContainerLogLine, Exited
from pycompose.engine.config import LogConfig
from pycompose.engine.logs.writer import LogWriter

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.policy.observed import ObservedContainer

FOLLOW = LogsOptions(follow=True)


@pytest.fixture
def state(tmp_path: Path) -> StateFiles:
    """Return an empty machine."""
    return StateFiles(tmp_path)


def test_an_end_that_nobody_has_told_is_told_after_the_last_line(state: StateFiles) -> None:
    """All of the output comes before it, more than a follower reads at a time included."""
    container_id = state.container("job")

    def end(_containers: list[ObservedContainer]) -> None:
        writer = LogWriter(state.paths.container(container_id) / "log", LogConfig())
        for _ in range(60):
            writer.write("stdout", b"x" * 65_000 + b"\n")
        writer.write("stdout", b"last\n")
        writer.close()
        state.ended(container_id, 3)

    *lines, last, ended = follow_logs(state.context, "demo", None, FOLLOW, end)

    assert len(lines) == 60
    assert isinstance(last, ContainerLogLine)
    assert last.data == b"last"
    assert isinstance(ended, Exited)
    assert (ended.container, ended.exit_code, ended.restarting) == ("demo-job-1", 3, False)


def test_ends_of_before_and_of_others_are_no_news(state: StateFiles) -> None:
    state.ended(state.container("job"), 3)
    time.sleep(0.001)  # clocks are no finer than that everywhere
    other = state.container("web")

    found = list(
        follow_logs(
            state.context,
            "demo",
            None,
            LogsOptions(follow=True, services=("job",)),
            lambda _containers: state.ended(other, 4),
        )
    )

    assert found == []
