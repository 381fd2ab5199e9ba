"""Nothing is accepted without effect: each key, word and flag has its row, and the rows lead to tests that exist."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from tests.effects import commands as commands_document
from tests.effects import differences, docker_flags, document
from tests.effects.table import (
    SEPARATOR,
    Row,
    commands,
    expected_flags,
    expected_keys,
    functions,
    rows,
    seen_by,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

FILES = ("attributes.toml", "flags.toml")
EFFECTS = [row for name in FILES for row in rows(name).values() if row.test]
HOW = "see tests/effects/table.py: a row says by which test its effect is seen, or how it is refused or warned about"


def listed(found: Iterable[tuple[str, str]]) -> str:
    """Return places and keys as lines."""
    return "\n".join(f"  [{place}] {key}" for place, key in sorted(found))


def test_every_key_and_word_has_a_row() -> None:
    """A new key is built, refused or warned about before it is read."""
    wanted, there = expected_keys(), set(rows("attributes.toml"))

    assert not wanted - there, (
        f"without a row in tests/effects/attributes.toml:\n{listed(wanted - there)}\n{HOW}"
    )
    assert not there - wanted, f"rows for what there is not:\n{listed(there - wanted)}"


def test_every_flag_has_a_row() -> None:
    """Those of hidden flags too."""
    wanted, there = expected_flags(), set(rows("flags.toml"))

    assert not wanted - there, f"without a row in tests/effects/flags.toml:\n{listed(wanted - there)}\n{HOW}"
    assert not there - wanted, f"rows for what there is not:\n{listed(there - wanted)}"


def test_every_flag_of_docker_compose_is_here_or_has_a_reason() -> None:
    """With its short name, and with a value where it takes one. What is listed as lacking is lacking."""
    theirs = json.loads(docker_flags.PATH.read_text(encoding="utf-8"))
    reasons = tomllib.loads((docker_flags.PATH.parent / "lacking.toml").read_text(encoding="utf-8"))
    excused = {(place, flag) for place, table in reasons.items() for flag in table}
    assert len(theirs) > 30  # the list is whole

    missing = set()
    for place, flags in theirs.items():
        if place not in commands():
            missing.add((place, ""))
            continue
        ours = {
            name: param
            for param in commands()[place].params
            if isinstance(param, click.Option)
            for name in (*param.opts, *param.secondary_opts)
        }
        for flag, theirs_is in flags.items():
            if any(name not in ours for name in (flag, theirs_is["short"]) if name):
                missing.add((place, flag))
            elif theirs_is["value"] is not None and theirs_is["value"] == ours[flag].is_flag:
                missing.add((place, f"{flag} {'VALUE' if theirs_is['value'] else ''}"))

    assert not missing - excused, f"not here:\n{listed(missing - excused)}"
    assert not excused - missing, f"listed in lacking.toml, but here:\n{listed(excused - missing)}"


@pytest.mark.parametrize("row", EFFECTS, ids=lambda row: f"{row.place} {row.key}")
def test_its_test_exists(row: Row) -> None:
    """With the word or the flag that it is about."""
    path, function, word = seen_by(row)

    assert path.is_file()
    assert function in functions(path)
    text = path.read_text(encoding="utf-8")
    assert word in text
    if row.key.startswith("--"):
        assert any(_is_used(name, text) for name in _names(row)), f"{row.key} isn't in {path.name}"


def _names(row: Row) -> list[str]:
    """Return all spellings of a flag."""
    flag = row.key.partition(SEPARATOR)[0]
    command = commands()["" if row.place == "pycompose" else row.place]
    (param,) = [p for p in command.params if isinstance(p, click.Option) and flag in p.opts]
    return [*param.opts, *param.secondary_opts]


def _is_used(flag: str, text: str) -> bool:
    if re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text):
        return True
    return not flag.startswith("--") and re.search(rf'"-\w*{flag[1]}\w*"', text) is not None


@pytest.mark.parametrize("row", [row for name in FILES for row in rows(name).values() if not row.test],
                         ids=lambda row: f"{row.place} {row.key}")  # fmt: skip
def test_what_has_no_effect_can_be_tried(row: Row) -> None:
    """It is refused or warned about, and says with what; tests/e2e/test_effects.py does it."""
    assert bool(row.refused) != bool(row.warned)
    assert row.service or row.top or row.run


@pytest.mark.parametrize(
    "made", (document, differences, commands_document), ids=lambda module: module.__name__
)
def test_documents_are_up_to_date(made: object) -> None:
    """`python -m tests.effects.document`, `… .differences` and `… .commands` write them."""
    assert made.PATH.read_text(encoding="utf-8") == made.text()  # type: ignore[attr-defined]
