"""`pycompose config` prints what Docker Compose 2.40.3 prints, for every case of the corpus.

The oracle's answers are stored (regenerate.py), so this needs no oracle. What differs on purpose stands in
differences.toml with its reason.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import oracle
from tests.unit.config import ours
from tests.unit.config.cases import Case, Command, differences, load_cases, stored
from tests.unit.config.regenerate import ordered

VALID = [case for case in load_cases() if not case.invalid]
UNSET = re.compile(r'The "(\w+)" variable is not set')


def check(case: Case, line: str, root: Path) -> None:
    """Compare one command of a case with the stored answer."""
    command = Command.parse(line)
    said = ours.run(command.arguments, case.write(root), command.environment, case.stdin)
    out, err = oracle.placeholder(said.out, root), oracle.placeholder(said.err, root)
    theirs: dict[str, Any] = stored(case.topic)[case.name][line]
    different = differences().get((f"{case.topic}/{case.name}", line))
    if different and "error" in different:
        assert said.code != 0
        assert different["error"] in err
        return
    assert said.code == 0, err
    if different:
        theirs = different
    if "tree" in theirs:
        assert json.loads(out) == theirs["tree"]
        assert out.rstrip("\n") == oracle.go_json(theirs["tree"])
    else:
        assert ordered(command.arguments, out) == theirs["text"]
    for warning in theirs.get("warnings", ()):
        if unset := UNSET.search(warning):
            assert err.count(f'"{unset[1]}" variable is not set') == 1


@pytest.mark.parametrize("case", VALID, ids=lambda case: f"{case.topic}/{case.name}")
def test_a_case_is_answered_as_by_the_oracle(case: Case, tmp_path: Path) -> None:
    """Every command of the case gives the stored answer; an unset variable is warned about, once."""
    for number, line in enumerate(case.commands):
        check(case, line, tmp_path / str(number) / "root")


@pytest.mark.parametrize("case", VALID, ids=lambda case: f"{case.topic}/{case.name}")
def test_what_config_prints_is_read_back_the_same(case: Case, tmp_path: Path) -> None:
    """`config` of the YAML that `config` printed is the same text again."""
    line = case.commands[0]
    command = Command.parse(line)
    if command.arguments[-2:] != ["--format", "json"] or "error" in differences().get(
        (f"{case.topic}/{case.name}", line), {}
    ):
        pytest.skip("prints something else than a whole project")
    before = [word for word in command.arguments if word.startswith("--no-")]
    if before:
        pytest.skip("prints an unfinished project")
    project = case.write(tmp_path / "root")
    arguments = command.arguments[:-2]
    first = ours.run(arguments, project, command.environment, case.stdin)
    (project / "printed.yaml").write_text(first.out)
    profiles = ["--profile", "*"]
    again = ours.run([*profiles, "-f", "printed.yaml", "config"], project, {})

    assert again.code == 0, again.err
    assert again.out == first.out


def test_the_corpus_is_large_and_answered() -> None:
    """At least 300 valid inputs, names are unique, and every command has a stored answer."""
    names = [(case.topic, case.name) for case in load_cases()]

    assert len(VALID) >= 300
    assert len(names) == len(set(names))
    assert {(case.topic, case.name, line) for case in load_cases() for line in case.commands} == {
        (topic, name, line)
        for topic in {case.topic for case in load_cases()}
        for name, answers in stored(topic).items()
        for line in answers
    }


def test_every_difference_belongs_to_a_case() -> None:
    """differences.toml names commands that exist, each with a reason."""
    known = {(f"{case.topic}/{case.name}", line) for case in load_cases() for line in case.commands}

    assert set(differences()) <= known
    assert all(entry["why"] for entry in differences().values())
