"""Every compose file that the loader takes becomes objects that a cluster takes, or an error with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import PycomposeError
from pycompose.kube.remarks import Severity

from tests.unit.config import ours
from tests.unit.config.cases import Case, Command, load_cases
from tests.unit.kube.conversion import convert_loaded, invalid

if TYPE_CHECKING:
    from pathlib import Path

VALID = [case for case in load_cases() if not case.invalid]


@pytest.mark.parametrize("topic", sorted({case.topic for case in VALID}))
def test_valid_objects_or_a_located_error(topic: str, tmp_path: Path) -> None:
    """All cases of a topic."""
    converted = 0
    for case in (case for case in VALID if case.topic == topic):
        converted += _check(case, tmp_path / case.name)
    assert converted


def _check(case: Case, root: Path) -> int:
    folder = case.write(root)
    command = Command.parse(case.commands[0] if case.commands else "config")
    try:
        loaded = ours.load_project(command.arguments, folder, command.environment, case.stdin)
        project = loaded.project
    except PycomposeError:
        return 1  # a variant that isn't a project
    conversion = convert_loaded(loaded)
    assert [problem for item in conversion.objects if (problem := invalid(item))] == [], case.name
    assert all(remark.location.path for remark in conversion.remarks), case.name
    names = [(item["kind"], item["metadata"]["name"]) for item in conversion.objects]
    if not conversion.of(Severity.ERROR):
        assert len(names) == len(set(names)), case.name
        assert {part.service for part in conversion.parts} - {""} == set(project.services), case.name
    return 1
