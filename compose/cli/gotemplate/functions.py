"""The functions of a template: Go's own (text/template, funcs.go) and those that docker adds (cli/templates)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pycompose.cli.gotemplate.errors import CallError
from pycompose.cli.gotemplate.printing import PLAIN, WIDEST, formatted, sprint, sprintf, sprintln
from pycompose.cli.gotemplate.values import NO_VALUE, GoMap, GoStruct, NilSlice, shaped, truth, type_name
from pycompose.engine.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """A function: what it takes (string, int, strings, any), whether the last of that repeats, and what it does."""

    call: Callable[..., Any]
    takes: tuple[str, ...]
    repeats: bool = False


def dumps(value: object) -> str:
    """Return a value as JSON on one line, as Go's encoder spaces it; the keys of maps and rows are sorted."""
    if isinstance(value, GoStruct):
        value = _shown(value)
    elif type(value) is dict:
        value = {key: _shown(one) if isinstance(one, GoStruct) else one for key, one in value.items()}
    elif isinstance(value, GoMap):
        value = None if value.absent else dict(sorted(value.items()))
    elif value is NO_VALUE or isinstance(value, NilSlice):
        value = None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _shown(row: GoStruct) -> dict[str, Any]:
    return {key: row[key] for key in sorted(row) if key not in row.hidden}


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _pad(value: str, before: int, after: int) -> str:
    if before < 0 or after < 0:
        raise CallError("strings: negative Repeat count")
    if before + after > WIDEST:
        raise CallError(f"more than {WIDEST} spaces")
    return " " * before + value + " " * after if value else value


def _truncate(value: str, length: int) -> str:
    data = _bytes(value)
    if length < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{length}]")
    return data[:length].decode("utf-8", "replace") if length < len(data) else value


def _title(value: str) -> str:
    """Return the text with the first letter of each word in upper case (Go, strings.Title)."""
    return re.sub(r"(?<!\w)\w", lambda match: match[0].upper(), value)


def _split(value: str, separator: str) -> list[str]:
    return value.split(separator) if separator else list(value)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(_bytes(value))
    if isinstance(value, (list, tuple, Mapping)):
        return len(value)
    raise CallError(f"len of type {type_name(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise CallError("index of untyped nil")
        value = NO_VALUE if value is NO_VALUE else _item(value, key)
    return value


def _item(value: Any, key: Any) -> Any:
    if isinstance(value, Mapping):
        if not isinstance(key, str):
            raise CallError(f"value has type {type_name(key)}; should be string")
        zero = value.zero if isinstance(value, GoMap) else NO_VALUE
        if isinstance(value, GoMap) or key not in value:
            return value.get(key, zero)
        return shaped(value, key)
    if not isinstance(value, (str, list, tuple)):
        raise CallError(f"can't index item of type {type_name(value)}")
    items = _bytes(value) if isinstance(value, str) else value
    return items[_position(key, len(items) - 1)]


def _position(key: Any, last: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= last:
        raise CallError(f"index out of range: {key}")
    return key


def _slice(value: Any, *bounds: Any) -> Any:
    if isinstance(value, str):
        return _slice(_bytes(value), *bounds).decode("utf-8", "replace")
    if not isinstance(value, (bytes, list, tuple)):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if len(bounds) > 2 + (not isinstance(value, bytes)):
        raise CallError(f"too many slice indexes: {len(bounds)}")
    low, high = (*(_position(bound, len(value)) for bound in bounds[:2]), *(0, len(value))[len(bounds) :])[:2]
    if low > high:
        raise CallError(f"invalid slice index: {low} > {high}")
    return value[low:high]


def _kind(value: Any) -> str:
    name = type_name(value)
    return name if name in ("bool", "int", "float64", "string", "<nil>") else "other"


def _equal(first: Any, *others: Any) -> bool:
    """Tell whether `first` equals any of the others, as `eq` means it."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(first: Any, other: Any) -> bool:
    kinds = {_kind(first), _kind(other)}
    if "<nil>" in kinds:
        return len(kinds) == 1
    if "other" in kinds and len(kinds) == 1:
        raise CallError(f"non-comparable type {formatted(first, PLAIN)}: {type_name(first)}")
    if len(kinds) > 1:
        raise CallError("incompatible types for comparison")
    return bool(first == other)


def _less(first: Any, second: Any) -> bool:
    kinds = {_kind(first), _kind(second)}
    if not kinds <= {"int", "float64", "string"}:
        raise CallError("invalid type for comparison")
    if len(kinds) > 1:
        raise CallError("incompatible types for comparison")
    return bool(first < second)


def _html(*values: Any) -> str:
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
    return "".join(names.get(char, char) for char in sprint(values))


def _urlquery(*values: Any) -> str:
    from urllib.parse import quote_plus  # noqa: PLC0415 - hardly anybody asks

    return quote_plus(_bytes(sprint(values)))


# `and` and `or` stand here for their names: the evaluator leaves out what it needn't know.
FUNCTIONS: dict[str, Function] = {
    "and": Function(lambda *values: values[-1], ("any",), repeats=True),
    "or": Function(lambda *values: values[-1], ("any",), repeats=True),
    "not": Function(lambda value: not truth(value), ("any",)),
    "len": Function(_length, ("any",)),
    "index": Function(_index, ("any", "any"), repeats=True),
    "slice": Function(_slice, ("any", "any"), repeats=True),
    "print": Function(lambda *values: sprint(values), ("any",), repeats=True),
    "println": Function(lambda *values: sprintln(values), ("any",), repeats=True),
    "printf": Function(lambda how, *values: sprintf(how, values), ("string", "any"), repeats=True),
    "html": Function(_html, ("any",), repeats=True),
    "urlquery": Function(_urlquery, ("any",), repeats=True),
    "eq": Function(_equal, ("any", "any"), repeats=True),
    "ne": Function(lambda first, second: not _same(first, second), ("any", "any")),
    "lt": Function(_less, ("any", "any")),
    "le": Function(lambda first, second: _less(first, second) or _same(first, second), ("any", "any")),
    "gt": Function(
        lambda first, second: not _less(first, second) and not _same(first, second), ("any", "any")
    ),
    "ge": Function(lambda first, second: not _less(first, second), ("any", "any")),
    "json": Function(dumps, ("any",)),
    "split": Function(_split, ("string", "string")),
    "join": Function(lambda values, separator: separator.join(values), ("strings", "string")),
    "title": Function(_title, ("string",)),
    "lower": Function(str.lower, ("string",)),
    "upper": Function(str.upper, ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "truncate": Function(_truncate, ("string", "int")),
}


def _itself(value: Any, *_rest: Any) -> Any:
    return value


# In the header of a table a function leaves the title as it is (cli/command/formatter/templates, HeaderFunctions).
HEADER_FUNCTIONS: dict[str, Function] = FUNCTIONS | {
    name: Function(_itself, ("any",) * len(FUNCTIONS[name].takes), FUNCTIONS[name].repeats)
    for name in ("json", "join", "title", "lower", "upper", "truncate", "slice")
}
