"""`--format`: table, json, jsonl, and Go's templates, on rows of texts and on what `inspect` finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pycompose.cli.display import table
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.gotemplate.template import Template
    from pycompose.cli.gotemplate.values import GoStruct

Fields = Mapping[str, Any]


def dumps(value: object) -> str:
    """Return `value` as JSON on one line, as Go's encoder spaces it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(text: str) -> Template:
    """Return the template. Raises GoTemplateSyntaxError."""
    from pycompose.cli.gotemplate import template  # noqa: PLC0415 - few commands are given one

    return template.parse(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else dumps(value)


def _struct(row: Fields, hidden: frozenset[str]) -> GoStruct:
    """Return a row as templates see it: with docker's method `Label`."""
    from pycompose.cli.gotemplate.values import GoStruct  # noqa: PLC0415 - as above

    pairs = (item.partition("=") for item in str(row.get("Labels", "")).split(",") if item)
    labels = {key: value for key, _, value in pairs}
    return GoStruct(row, {"Label": lambda name: labels.get(name, "")}, hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one command shows its rows.

    `columns` are the field names of the default table, `titles` the header of each field. `array` says
    whether `json` is one array (ls, images) or one object per line (ps, volumes). `minimum` is the width of a
    cell, `hidden` fields are for templates only.
    """

    columns: Sequence[str]
    titles: Mapping[str, str]
    array: bool = False
    minimum: int = table.MINIMUM
    hidden: frozenset[str] = frozenset()


def show(rows: Sequence[Fields], how: str, layout: Layout) -> str:
    """Return `rows` in the format `how`: "", table, json, jsonl, "table TEMPLATE" or a template.

    Raises PycomposeError for a word that is none of these, where Docker Compose knows formats only (`array`).
    """
    if layout.array and how not in ("", "table", "json", "jsonl") and "{{" not in how:
        raise PycomposeError(
            f'format value "{how}" could not be parsed', hint="table, json, jsonl or a template"
        )
    if how in ("", "table"):
        head = [layout.titles[name] for name in layout.columns]
        body = [[_text(row[name]) for name in layout.columns] for row in rows]
        return table.render([head, *body], minimum=layout.minimum)
    if how in ("json", "jsonl"):
        order = list if layout.array else sorted
        plain = [{key: row[key] for key in order(row) if key not in layout.hidden} for row in rows]
        if layout.array and how == "json":
            return dumps(plain) + "\n"
        return "".join(dumps(row) + "\n" for row in plain)
    return _filled(rows, how, layout)


def _filled(rows: Sequence[Fields], how: str, layout: Layout) -> str:
    """Return the rows by a template; one that begins with `table` has a header and columns (docker/cli, formatter)."""
    from pycompose.cli.gotemplate import template  # noqa: PLC0415 - as above

    as_table = how.startswith(("table ", "table{"))
    read = template.parse(how.removeprefix("table" if as_table else "").strip(" "), escapes=True)
    lines = [read.render(_struct(row, layout.hidden)) for row in rows]
    if not as_table:
        return "".join(f"{line}\n" for line in lines)
    lines.insert(0, read.headers(layout.titles))
    return table.render([line.split("\t") for line in lines], minimum=layout.minimum)
