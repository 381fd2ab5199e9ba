"""docs/attributes.md, out of the table of effects: `python -m tests.effects.document` writes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.config.attributes import ATTRIBUTES

from tests.effects.table import SEPARATOR, TESTS, Row, commands, expected_flags, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PATH = TESTS.parent / "docs/attributes.md"
HEAD = """\
# Attributes and flags

What each key of a compose file does here, each word that it knows, and each flag that does nothing. Nothing is
accepted without a word and without effect: a key or flag *works* as Docker Compose's does (a test sees it, from
inside a container or from outside), is *refused*, or is accepted with a *warning*. What works differently on purpose
is in [differences.md](differences.md).

This file is made from the tests' table (`python -m tests.effects.document`).
"""
# How config/attributes.py begins what is printed as a structure, as a list of it or as a mapping.
STRUCTURED = ("=", "[", "{")
WORDS = {"effect": "works", "refused": "refused", "warned": "warning"}


def text() -> str:
    """Return the document."""
    return "\n".join([HEAD, *_summary(), *_keys(), *_flags()])


def _summary() -> Iterator[str]:
    for name, what in (("attributes.toml", "keys and words"), ("flags.toml", "flags")):
        kinds = [row.effect for row in rows(name).values()]
        shown = (("effect", "work"), ("refused", "are refused"), ("warned", "are warned about"))
        counts = ", ".join(f"{kinds.count(kind)} {word}" for kind, word in shown)
        yield f"Of {len(kinds)} {what}, {counts}."
        yield ""


def _keys() -> Iterator[str]:
    found = rows("attributes.toml")
    for place, where in _places().items():
        yield f"## {where}"
        yield ""
        yield from _table("key", [row for (name, _), row in found.items() if name == place])


def _places() -> dict[str, str]:
    """Return each structure with the path of its first use, in the order of the format."""
    found = {"project": "Top level"}
    todo = [("project", "")]
    while todo:
        structure, prefix = todo.pop(0)
        for key, (kind, printed, *_rules) in ATTRIBUTES[structure].items():
            names = [
                *re.findall(r"@(\w+)", kind),
                printed.strip("=[]{}?") if printed[:1] in STRUCTURED else "",
            ]
            for name in names:
                if name in ATTRIBUTES and name not in found:
                    found[name] = f"`{prefix}{key}`"
                    todo.append((name, f"{prefix}{key}."))
    return found | {name: f"`{name}`" for name in ATTRIBUTES if name not in found}


def _table(title: str, listed: Iterable[Row]) -> Iterator[str]:
    yield f"| {title} | here | |"
    yield "| --- | --- | --- |"
    for row in listed:
        key, _, word = row.key.partition(SEPARATOR)
        shown = (
            f"`{key}: {word}`"
            if word and not key.startswith("-")
            else f"`{key} {word}`"
            if word
            else f"`{key}`"
        )
        said = row.refused or row.warned
        remark = "; ".join(part for part in (f"“{said}”" if said else "", row.note) if part)
        yield f"| {shown} | {WORDS[row.effect]} | {remark.replace('|', chr(92) + '|')} |"
    yield ""


def _flags() -> Iterator[str]:
    found = rows("flags.toml")
    yield "## Flags"
    yield ""
    yield f"All {len(expected_flags())} flags of {len(commands())} commands work as their `--help` says, but for these:"
    yield ""
    listed = [row for row in found.values() if not row.test or row.note]
    yield "| command | flag | here | |"
    yield "| --- | --- | --- | --- |"
    for row in listed:
        said = row.refused or row.warned
        remark = "; ".join(part for part in (f"“{said}”" if said else "", row.note) if part)
        place = "" if row.place == "pycompose" else row.place
        yield f"| `{place or 'pycompose'}` | `{row.key.replace(SEPARATOR, ' ')}` | {WORDS[row.effect]} | {remark} |"
    yield ""


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
