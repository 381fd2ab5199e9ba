"""Every check of the lists has a test that exists, or a reason; every fault's number is in the name of its test."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.checklist import CHECKS, FAULTS
from tests.support.resources import KEYS, MACHINES
from tests.support.sources import REPOSITORY
from tests.support.watch_rows import SECTIONS

WATCHED = tuple(row for rows in SECTIONS.values() for row in rows.values())
ROWS = (*CHECKS.values(), *FAULTS.values(), *KEYS.values(), *MACHINES.values(), *WATCHED)


def test_the_list_is_complete() -> None:
    """Nothing is left out, and each row has a test or says why not."""
    assert sorted(CHECKS) == list(range(1, 92))
    assert [row.what for row in ROWS if not row.tests and not row.but] == []
    assert {name: len(rows) for name, rows in SECTIONS.items()} == {
        "keys": 16, "actions": 11, "pipeline": 8, "watcher": 7, "commands": 4, "library": 19,
        "promises": 20, "faults": 8,
    }  # fmt: skip


@pytest.mark.parametrize("node", sorted({node for row in ROWS for node in row.tests}))
def test_the_tests_exist(node: str) -> None:
    """As a function of the module."""
    path, *names = node.split("::")
    place: ast.Module | ast.ClassDef = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    for name in names[:-1]:
        (place,) = [item for item in place.body if isinstance(item, ast.ClassDef) and item.name == name]

    assert names[-1] in {item.name for item in place.body if isinstance(item, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS)
def test_numbers_are_in_the_names(fault: str) -> None:
    """So that `pytest -k cve_2019_5736` finds them."""
    row = FAULTS[fault]
    names = " ".join(node.partition("::")[2] for node in row.tests)

    for number in re.findall(r"(?:CVE|GHSA)-[\w-]+", row.what):
        assert number.lower().replace("-", "_") in names
