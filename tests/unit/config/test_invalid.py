"""Invalid projects: each error says where and what is wrong; the oracle rejects every one of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pycompose.engine.errors import PycomposeError
from pycompose.errors import ConfigError

from tests.unit.config import ours
from tests.unit.config.cases import Case, Command, Expected, load_cases, stored

INVALID = [case for case in load_cases() if case.invalid]


def place(error: PycomposeError, project: Path) -> str:
    """Return `file:line:column` with the file as the case names it."""
    location = getattr(error, "location", None)
    if location is None or not location.file:
        return ""
    file = (
        "<stdin>" if location.file in {"-", "<stdin>"} else os.path.relpath(project / location.file, project)
    )
    return f"{file}:{location.line}:{location.column}"


def fits(error: PycomposeError, expected: Expected, project: Path) -> bool:
    """Tell whether `error` is the expected one: place, path, words of message and hint."""
    path = error.location.path if isinstance(error, ConfigError) else ""
    return (
        (not expected.place or place(error, project) == expected.place)
        and path == expected.path
        and expected.text.lower() in str(error).lower()
        and expected.hint in (error.hint or "")
    )


@pytest.mark.parametrize("case", INVALID, ids=lambda case: f"{case.topic}/{case.name}")
def test_the_error_says_what_is_wrong_and_where(case: Case, tmp_path: Path) -> None:
    """Place, path, message and hint are the expected ones; independent errors come together."""
    command = Command.parse(case.commands[0])
    project = case.write(tmp_path / "root")
    with pytest.raises(PycomposeError) as caught:
        ours.load_project(command.arguments, project, command.environment, case.stdin)
    found = ours.errors(caught.value)
    shown = [f"{place(error, project)} | {error} | {error.hint}" for error in found]

    assert len(found) == len(case.expected), shown
    for error, expected in zip(found, case.expected, strict=True):
        assert fits(error, expected, project), (shown, expected)


def test_there_are_enough_invalid_inputs_and_the_oracle_rejects_them() -> None:
    """At least 120, and each has a stored error."""
    assert len(INVALID) >= 120
    for case in INVALID:
        assert case.expected, case.name
        assert all("error" in answer for answer in stored(case.topic)[case.name].values()), case.name
