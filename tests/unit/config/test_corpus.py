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
from pycompose.config.render import render_yaml

from tests.support import oracle
from tests.unit.config import newer, ours
from tests.unit.config.cases import Case, Command, differences, load_cases, stored
from tests.unit.config.regenerate import ordered

# What Docker Compose prints for these means something else when it is read again.
UNSTABLE = {
    "files/configs-top-level": "an empty `content` is printed as no content",
    "interpolation/keys-are-not-interpolated": "`$` is doubled in keys too, where nothing halves it",
    "render/numbers-in-extensions": "a negative zero is printed as -0, which is an integer",
    "service/devices-odd": "a device without a target is printed without one, which is refused",
    "service/several-addresses-of-a-host": "a comma separates addresses in a line, which is how hosts are printed",
    "service/extra-hosts-odd": "a host without addresses is printed as no host",
    "mixed/a-number-and-a-later-text": "ports are printed as text, and are the same then",
    "mixed/empty-targets-of-secrets-and-configs": "an empty target is printed as none",
    "merge/ports-append-and-unique": "of two ports that differ in their mode only, the last one wins",
    "profiles/optional-dependency-on-a-disabled-service": "the disabled service is gone, the dependency is not",
}
VALID = [case for case in load_cases() if not case.invalid]
UNSET = re.compile(r'The "(\w+)" variable is not set')


def check(case: Case, line: str, root: Path) -> None:
    """Compare one command of a case with the stored answer; only a last newline may be missing there."""
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
    elif "--no-interpolate" not in command.arguments:
        theirs = as_compose5(theirs)
    if "tree" in theirs:
        assert json.loads(out) == theirs["tree"]
        assert out == oracle.go_json(theirs["tree"])
    else:
        assert ordered(command.arguments, out).rstrip("\n") == theirs["text"].rstrip("\n")
    for warning in theirs.get("warnings", ()):
        if unset := UNSET.search(warning):
            assert err.count(f'"{unset[1]}" variable is not set') == 1


def as_compose5(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer of the oracle as Compose 5 would give it."""
    if "tree" in answer:
        return {**answer, "tree": newer.tree(answer["tree"])}
    return {**answer, "text": newer.text(answer["text"])} if "text" in answer else answer


@pytest.mark.parametrize("case", VALID, ids=lambda case: f"{case.topic}/{case.name}")
def test_a_case_is_answered_as_by_the_oracle(case: Case, tmp_path: Path) -> None:
    """Every command of the case gives the stored answer; an unset variable is warned about, once."""
    for number, line in enumerate(case.commands):
        check(case, line, tmp_path / str(number) / "root")


def printed_whole(case: Case) -> bool:
    """Tell whether the first command of a case prints a whole project that can be read again."""
    arguments = Command.parse(case.commands[0]).arguments
    different = differences().get((f"{case.topic}/{case.name}", case.commands[0]), {})
    return (
        arguments[-2:] == ["--format", "json"]
        and not any(word.startswith("--no-") for word in arguments)
        and "error" not in different
        and f"{case.topic}/{case.name}" not in UNSTABLE
    )


@pytest.mark.parametrize(
    "case", [case for case in VALID if printed_whole(case)], ids=lambda case: f"{case.topic}/{case.name}"
)
def test_what_config_prints_is_read_back_the_same(case: Case, tmp_path: Path) -> None:
    """`config` of the YAML that `config` printed is the same text again."""
    command = Command.parse(case.commands[0])
    project = case.write(tmp_path / "root")
    first = render_yaml(
        ours.load_project(command.arguments[:-2], project, command.environment, case.stdin).tree
    )
    (project / "printed.yaml").write_text(first)
    again = ours.load_project(["--profile", "*", "-f", "printed.yaml", "config"], project, {})

    assert render_yaml(again.tree) == first


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
