"""`wait` for what has ended already: without a supervisor nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.client.query_options import WaitOptions
from pycompose.client.wait import wait
from pycompose.engine.errors import NoSuchContainer
from pycompose.engine.state import Status

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path


def test_each_container_of_the_services_is_told_with_its_code(tmp_path: Path) -> None:
    state = StateFiles(tmp_path)
    state.container("job", number=1, status=Status.EXITED, exit_code=3)
    state.container("job", number=2, status=Status.CREATED)
    state.container("job", number=3, status=Status.EXITED, oneoff=True)
    state.container("web", status=Status.EXITED, exit_code=4)

    found = wait(state.context, "demo", WaitOptions(services=("job",)))

    assert [(ended.container, ended.exit_code) for ended in found] == [("demo-job-1", 3), ("demo-job-2", 0)]


def test_a_service_without_containers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoSuchContainer, match="service job: no container exists"):
        list(wait(StateFiles(tmp_path).context, "demo", WaitOptions(services=("job",))))
