"""Templates beside Docker's answers: `docker inspect -f` of 26.1, recorded with the container it was asked about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pycompose.cli.gotemplate.template import parse
from pycompose.engine.errors import PycomposeError

HERE = Path(__file__).parent
CONTAINER = json.loads((HERE / "container.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))


def ids(case: dict[str, Any]) -> str:
    """Name a case by its template."""
    return str(case["template"])


@pytest.mark.parametrize("case", [case for case in CASES if case["exit"] == 0], ids=ids)
def test_what_docker_prints(case: dict[str, Any]) -> None:
    """The same text, to the last space."""
    assert parse(case["template"]).render(CONTAINER) == case["out"]


@pytest.mark.parametrize("case", [case for case in CASES if case["exit"]], ids=ids)
def test_what_docker_refuses(case: dict[str, Any]) -> None:
    """The same exit code, and the place that docker names where it names one."""
    with pytest.raises(PycomposeError, match=r"^--format: template parsing error: \d+:\d+: ") as caught:
        parse(case["template"]).render(CONTAINER)

    assert caught.value.exit_code == case["exit"], str(caught.value)
    if "place" in case:
        assert f": {case['place']}: " in str(caught.value)
