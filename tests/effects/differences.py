"""docs/differences.md, out of the lists of differences on purpose: `python -m tests.effects.differences` writes it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from tests.effects.table import HERE, TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = TESTS.parent / "docs/differences.md"
SHOWN = (TESTS / "e2e/scenarios/differences.toml", HERE / "differences.toml")
CONFIG = TESTS / "unit/config/differences.toml"
BUILDS = TESTS / "e2e/builds/differences.toml"
AS_USER = TESTS / "e2e/as_user.toml"
HEAD = """\
# Differences from Docker Compose

pycompose is equal to **Docker Compose 5** (5.5 and its sources up to August 2026). Where 2.40.3 and 5 agree, which is
nearly everywhere, the same tests run on pycompose and on Docker Compose 2.40.3 with Docker Engine 26.1. Where they
differ, 5's sources and documents decide; the first table below lists that. All other sections list what differs from
both on purpose, each with its reason. What has no effect here, or is refused, is in [attributes.md](attributes.md).

This file is made from the tests' lists (`python -m tests.effects.differences`).
"""


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def text() -> str:
    """Return the document."""
    return "\n".join([HEAD, *_compose5(), *_behaviour(), *_config(), *_builds(), *_without_root()])


def _compose5() -> Iterator[str]:
    """Yield what we have from Compose 5, by the version that has brought it."""
    yield "## As Compose 5, not as 2.40"
    yield ""
    yield "| Docker Compose 2.40 | Compose 5 and pycompose | since |"
    yield "| --- | --- | --- |"
    found = [entry for path in SHOWN for entry in _read(path)["difference"] if "compose5" in entry]
    for entry in sorted(found, key=lambda entry: entry["compose5"]):
        yield f"| {_capital(entry['docker'])} | {_capital(entry['pycompose'])} | {entry['compose5']} |"
    yield ""
    yield "What `config` prints, as Compose 5:"
    yield ""
    yield from _cases(newer=True)
    yield ""


def _behaviour() -> Iterator[str]:
    groups: dict[str, list[dict[str, str]]] = {}
    for path in SHOWN:
        for entry in _read(path)["difference"]:
            if "why" in entry:
                groups.setdefault(entry["group"], []).append(entry)
    for group, entries in groups.items():
        yield f"## {group}"
        yield ""
        yield "| Docker Compose | pycompose | why |"
        yield "| --- | --- | --- |"
        for entry in entries:
            yield f"| {_capital(entry['docker'])} | {_capital(entry['pycompose'])} | {_capital(entry['why'])} |"
        yield ""


def _capital(sentence: str) -> str:
    """Return the sentence with a capital, unless it begins with the name of a report."""
    return sentence if "#" in sentence.partition(" ")[0] else sentence[:1].upper() + sentence[1:]


def _config() -> Iterator[str]:
    yield "## What `config` prints"
    yield ""
    yield "“The oracle” is `docker-compose config` 2.40.3; Compose 5 does as it does."
    yield ""
    yield from _cases(newer=False)
    yield ""


def _cases(*, newer: bool) -> Iterator[str]:
    """Yield what `config` prints differently, each reason once with the cases that it is for."""
    reasons: dict[str, list[str]] = {}
    for entry in _read(CONFIG)["difference"]:
        if ("compose5" in entry) == newer:
            since = f" ({entry['compose5']})" if newer else ""
            name = entry["case"].partition("/")[2].replace("-", " ")
            reasons.setdefault(f"{entry['why']}{since}", []).append(name)
    for why, cases in reasons.items():
        yield f"* {_capital(', '.join(dict.fromkeys(cases)))}: {why}"


def _builds() -> Iterator[str]:
    """Yield what builds do differently from the builder in Docker Engine 26.1."""
    yield "## Builds"
    yield ""
    for case, why in _read(BUILDS).items():
        yield f"* {_capital(case)}: {why}"
    yield ""


def _without_root() -> Iterator[str]:
    """Yield what an ordinary user has differently from root, in both programs' terms."""
    yield "## Without root"
    yield ""
    yield "What an ordinary user has in the private host ([rootless.md](rootless.md)) that differs from root's:"
    yield ""
    yield "| root | an ordinary user | why |"
    yield "| --- | --- | --- |"
    for entry in _read(AS_USER)["difference"]:
        yield f"| {_capital(entry['root'])} | {_capital(entry['user'])} | {_capital(entry['why'])} |"
    yield ""


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
