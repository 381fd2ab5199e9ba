"""Which services and containers a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pycompose.client.options import StatsOptions
from pycompose.client.selection import (
    check_known,
    chosen_containers,
    enabled,
    in_scope,
    running_containers,
    scaled,
)
from pycompose.config.load import Loaded, load
from pycompose.config.options import LoadOptions
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.errors import UnknownService

from tests.support.statefiles import StateFiles

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = """
services:
  web: {image: host, depends_on: [db]}
  db: {image: host, container_name: database}
  tool: {image: host, profiles: [tools]}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """Return the project of COMPOSE."""
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    return load(LoadOptions(working_dir=str(tmp_path), environment={}))


def test_a_name_switches_its_service_on(loaded: Loaded) -> None:
    project = enabled(loaded.project, ["tool"])

    assert sorted(project.services) == ["db", "tool", "web"]
    assert not project.disabled_services
    assert sorted(loaded.project.services) == ["db", "web"], "the project itself stays as it was"


def test_nobody_is_switched_on_by_an_unknown_name(loaded: Loaded) -> None:
    with pytest.raises(UnknownService, match="toool") as caught:
        enabled(loaded.project, ["toool"])
    assert "tool" in str(caught.value.hint)


def test_scaling(loaded: Loaded) -> None:
    assert scaled(loaded.project, [("web", 3)]).services["web"].replicas == 3


@pytest.mark.parametrize(
    ("count", "message"),
    ((("wbe", 2), "no such service: wbe"), (("db", 2), 'container_name "database" can only be given to one')),
)
def test_scaling_what_can_not_be(loaded: Loaded, count: tuple[str, int], message: str) -> None:
    with pytest.raises(PycomposeError, match=message):
        scaled(loaded.project, [count])


def test_the_scope_of_a_command(loaded: Loaded) -> None:
    """Those that are named, also ones that are off; else those that are on; without a file all there are."""
    assert in_scope(loaded, ["tool"]) == ["tool"]
    assert sorted(in_scope(loaded, [])) == ["db", "web"]
    assert in_scope(None, ["anything"]) == ["anything"]
    assert in_scope(None, []) == []


def test_only_a_file_tells_what_is_unknown(loaded: Loaded) -> None:
    check_known(None, ["anything"])
    with pytest.raises(UnknownService, match="anything"):
        check_known(loaded, ["anything"])


def test_containers_of_a_project_or_of_all(tmp_path: Path) -> None:
    state = StateFiles(tmp_path)
    web, db = state.container("web"), state.container("db", status=Status.EXITED)
    other = state.container("web", project="other", status=Status.PAUSED)

    def chosen(project: str, **options: Any) -> list[str]:
        return [one.id for one in chosen_containers(state.context, project, StatsOptions(**options))]

    assert chosen("demo") == [db, web]
    assert chosen("demo", services=("web",)) == [web]
    assert chosen("") == [web, db, other]
    assert chosen("", ids=(db,)) == [db]
    assert [one.id for one in running_containers(state.context, "", StatsOptions())] == [web, other]
