r"""`--format`: table, json, jsonl, and the part of Go's templates that scripts use.

Understood inside `{{ }}`: `.Field`, `.Labels.key`, `.`, `json X`, `lower upper title len X`, `join X "sep"`,
`truncate X N`, `println X`, string and number literals, `.Label "key"`, and pipes. Outside: `\t` and `\n`.
Everything else (`if`, `range`, variables) is refused by name rather than printed wrongly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pycompose.cli import table
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError

_TOKEN = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<pipe>\|)|(?P<word>[^\s|"`]+))')
_ACTION = re.compile(r"\{\{(-?)(.*?)(-?)\}\}", re.DOTALL)
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}

Fields = Mapping[str, Any]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, (dict, list, tuple)):
        return dumps(value)
    return str(value)


def dumps(value: object) -> str:
    """Return `value` as JSON on one line, as Go's encoder spaces it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _join(value: Any, separator: Any) -> str:
    items = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return str(separator).join(_text(item) for item in items)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": dumps,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "title": lambda value: _text(value).title(),
    "len": len,
    "join": _join,
    "split": lambda value, separator: _text(value).split(separator),
    "truncate": lambda value, length: _text(value)[:length],
    "print": lambda *values: "".join(_text(value) for value in values),
    "println": lambda *values: " ".join(_text(value) for value in values) + "\n",
}


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts and actions by turns; an action is a pipe of (head, arguments)."""

    parts: tuple[str | tuple[tuple[str, ...], ...], ...]

    def render(self, fields: Fields) -> str:
        """Return the template filled with `fields`. Raises PycomposeError for an unknown field."""
        return "".join(part if isinstance(part, str) else _text(_run(part, fields)) for part in self.parts)

    def headers(self, known: Mapping[str, str]) -> str:
        """Return the template with each field replaced by its column title (header of `table TEMPLATE`)."""
        out = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
                continue
            names = [word[1:] for pipe in part for word in pipe if word.startswith(".") and len(word) > 1]
            name = names[0].split(".")[0] if names else ""
            out.append(known.get(name, name.upper()))
        return "".join(out)


def parse(text: str) -> Template:
    """Return the template. Raises PycomposeError where it goes beyond the subset of this module."""
    for escape, char in _ESCAPES.items():
        if escape != "\\\\":
            text = text.replace(escape, char)
    parts: list[str | tuple[tuple[str, ...], ...]] = []
    position = 0
    trim = False
    for match in _ACTION.finditer(text):
        literal = text[position : match.start()]
        parts.append((literal.lstrip() if trim else literal).rstrip() if match[1] else literal)
        if not match[1] and trim:
            parts[-1] = literal.lstrip()
        parts.append(_parse_action(match[2]))
        trim = bool(match[3])
        position = match.end()
    tail = text[position:]
    if "{{" in tail:
        raise PycomposeError(f"--format: cannot read template: unclosed action in {tail!r}")
    parts.append(tail.lstrip() if trim else tail)
    return Template(tuple(parts))


def _parse_action(text: str) -> tuple[tuple[str, ...], ...]:
    pipes: list[tuple[str, ...]] = []
    words: list[str] = []
    position = 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PycomposeError(f"--format: cannot read template: {text!r}")
        if match["pipe"]:
            pipes.append(tuple(words))
            words = []
        else:
            words.append(match["string"] or match["word"])
        position = match.end()
    pipes.append(tuple(words))
    if any(not pipe for pipe in pipes):
        raise PycomposeError(f"--format: cannot read template: empty action in {{{{{text}}}}}")
    for pipe in pipes:
        head = pipe[0]
        if not (head[0] in '."`' or head[0].isdigit() or head in FUNCTIONS):
            raise PycomposeError(
                f"--format: cannot use {head!r} in a template: not supported",
                hint=f"fields, and these functions: {' '.join(sorted(FUNCTIONS))}",
            )
    return tuple(pipes)


def _run(pipes: tuple[tuple[str, ...], ...], fields: Fields) -> Any:
    value: Any = None
    for number, (head, *words) in enumerate(pipes):
        arguments = [_value(word, fields) for word in words]
        if number:
            arguments.append(value)
        if head in FUNCTIONS:
            try:
                value = FUNCTIONS[head](*arguments)
            except (TypeError, ValueError) as exc:
                raise PycomposeError(f"--format: cannot call {head}: {exc}") from exc
        elif head == ".Label" and arguments:
            value = _labels(fields).get(str(arguments[0]), "")
        else:
            value = _value(head, fields)
    return value


def _labels(fields: Fields) -> dict[str, str]:
    pairs = (item.partition("=") for item in str(fields.get("Labels", "")).split(",") if item)
    return {key: value for key, _, value in pairs}


def _value(word: str, fields: Fields) -> Any:
    if word[0] == '"':
        try:
            return json.loads(word)
        except ValueError:
            raise PycomposeError(f"--format: cannot read the string {word}") from None
    if word[0] == "`":
        return word[1:-1]
    if word.isascii() and word.isdigit():
        return int(word)
    if not word.startswith("."):
        raise PycomposeError(f"--format: cannot use {word!r} in a template: not supported")
    value: Any = fields
    for name in filter(None, word.split(".")):
        if not isinstance(value, Mapping) or name not in value:
            raise _unknown_field(word, value if isinstance(value, Mapping) else {})
        value = value[name]
    return value


def _unknown_field(word: str, known: Mapping[str, Any]) -> PycomposeError:
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    near = get_close_matches(word.rpartition(".")[2], list(known), n=1)
    hint = f"did you mean .{near[0]}?" if near else f"fields are: {' '.join(sorted(known)) or 'none'}"
    return PycomposeError(f"--format: no field {word}", hint=hint)


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
    """Return `rows` in the format `how`: "", table, json, jsonl, "table TEMPLATE" or a template."""
    if how in ("", "table"):
        head = [layout.titles[name] for name in layout.columns]
        body = [[_text(row[name]) for name in layout.columns] for row in rows]
        return table.render([head, *body], minimum=layout.minimum)
    if how in ("json", "jsonl"):
        plain = [{key: row[key] for key in sorted(row) if key not in layout.hidden} for row in rows]
        if layout.array and how == "json":
            return dumps(plain) + "\n"
        return "".join(dumps(row) + "\n" for row in plain)
    if how.startswith("table "):
        template = parse(how.removeprefix("table ").strip())
        lines = [template.headers(layout.titles), *(template.render(row) for row in rows)]
        return table.render([line.split("\t") for line in lines], minimum=layout.minimum)
    template = parse(how)
    return "".join(template.render(row) + "\n" for row in rows)
