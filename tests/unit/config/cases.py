"""The corpus: case files, their parser, and the stored answers.

A case file `corpus/TOPIC.case` holds many small projects:

    @@@ name-of-the-case          a new case, names are unique in a topic
    # why it is here              comments, only before the first file
    $ A=1 -f b.yaml config        a command line: environment, global options, command; several are allowed,
                                  none means `config`
    ! services.web.foo | part of the message      an expected error (invalid cases only); its place is where
                                  the first ▸ stands in the files, of the second error the second
    ? did you mean "image"        part of the hint that goes with the error above
    @@ compose.yaml               a file of the project, up to the next @@ or @@@; a name that ends in / is a
    services: …                   folder, `name -> target` a link; `@@ <stdin>` is standard input

`@` can't start a plain YAML scalar, so nothing has to be escaped. Commands run in the folder `project` of an
empty directory; files may lie beside it (`../other/compose.yaml`). The oracle's answers are in
`corpus/TOPIC.json`, made by regenerate.py.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
EXPECTED = re.compile(r"! (?P<path>[^|]*)\| (?P<text>.+)")
MARK = "▸"
# What makes `config` print something else than the project.
LISTINGS = {
    *("--services", "--volumes", "--networks", "--images", "--models", "--profiles"),
    *("--variables", "--environment", "--hash", "--quiet", "-q", "--format"),
}


@dataclass(slots=True)
class Expected:
    """An error that the case must give: where, and words of the message and of its hint."""

    path: str
    text: str
    hint: str = ""
    place: str = ""


@dataclass(slots=True)
class Case:
    """One project of the corpus and the commands to run in it."""

    topic: str
    name: str
    about: str = ""
    commands: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)

    @property
    def invalid(self) -> bool:
        """Tell whether the case must be rejected."""
        return self.topic.startswith("invalid")

    @property
    def stdin(self) -> str:
        """What the command reads from standard input."""
        return self.files.get("<stdin>", "")

    def write(self, root: Path) -> Path:
        """Write the files below `root` and return the folder to run in."""
        project = root / "project"
        project.mkdir(parents=True)
        for name, text in self.files.items():
            if name == "<stdin>":
                continue
            path, _, target = name.partition(" -> ")
            place = project / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if target:
                place.symlink_to(target)
            elif path.endswith("/"):
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(text.encode())
        return project


@dataclass(frozen=True, slots=True)
class Command:
    """A command line of a case, taken apart."""

    environment: dict[str, str]
    arguments: list[str]

    @classmethod
    def parse(cls, line: str) -> Command:
        """Split `A=1 -f x config`; a `config` that prints the project is asked for JSON."""
        words = shlex.split(line)
        environment: dict[str, str] = {}
        while words and ASSIGNMENT.match(words[0]):
            key, _, value = words.pop(0).partition("=")
            environment[key] = value
        if not any(word.partition("=")[0] in LISTINGS for word in words):
            words += ["--format", "json"]
        return cls(environment, words)


def parse(topic: str, text: str) -> list[Case]:
    """Return the cases of a case file."""
    cases: list[Case] = []
    name = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("@@@ "):
            cases.append(Case(topic, line[4:].strip()))
            name = ""
        elif line.startswith("@@ "):
            name = line[3:].strip()
            cases[-1].files[name] = ""
        elif name:
            cases[-1].files[name] += line
        elif line.strip():
            _header(cases[-1], line.strip())
    for case in cases:
        case.commands = case.commands or ["config"]
        _take_marks(case)
    return cases


def _take_marks(case: Case) -> None:
    """Take the marks out of the files and note their places, `file:line:column`, in the expected errors."""
    waiting = iter(case.expected)
    for name in case.files:
        while (at := case.files[name].find(MARK)) >= 0:
            before = case.files[name][:at]
            if expected := next(waiting, None):
                expected.place = f"{name}:{before.count(chr(10)) + 1}:{at - before.rfind(chr(10))}"
            after = case.files[name][at + 1 :]
            case.files[name] = before + ("" if after == "\n" else after)  # alone in the last line: the end


def _header(case: Case, line: str) -> None:
    kind, rest = line[0], line[1:].strip()
    if kind == "#":
        case.about = f"{case.about} {rest}".strip()
    elif kind == "$":
        case.commands.append(rest)
    elif kind == "!" and (found := EXPECTED.fullmatch(line)):
        case.expected.append(Expected(found["path"].strip(), found["text"].strip()))
    elif kind == "?":
        case.expected[-1].hint = rest
    else:
        raise ValueError(f"{case.topic}: {case.name}: not a header line: {line}")


@cache
def load_cases() -> tuple[Case, ...]:
    """Return the whole corpus, in the order of the files."""
    found: list[Case] = []
    for path in sorted(CORPUS.glob("*.case")):
        found += parse(path.stem, path.read_text())
    return tuple(found)


@cache
def stored(topic: str) -> dict[str, dict[str, Any]]:
    """Return the stored answers of a topic: case name → command line → answer."""
    path = CORPUS / f"{topic}.json"
    answers: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return answers


@cache
def differences() -> dict[tuple[str, str], dict[str, Any]]:
    """Return what differs on purpose: (topic/case, command) -> `why` and our `tree`, `text` or `error`."""
    entries = tomllib.loads((CORPUS.parent / "differences.toml").read_text()).get("difference", [])
    return {
        (entry["case"], entry["command"]): entry
        | ({"tree": json.loads(entry["tree"])} if "tree" in entry else {})
        for entry in entries
    }
