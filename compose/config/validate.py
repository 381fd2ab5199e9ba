"""Checks a tree against the table of attributes and reports everything that is wrong with it, each with its place."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pycompose.config.attributes import ALIASES, ATTRIBUTES, WITH_ANY_KEY, WITHOUT_EXTENSIONS
from pycompose.config.duplicates import duplicates
from pycompose.config.scalars import Timestamp
from pycompose.config.tree import Map, Path, locate
from pycompose.errors import ConfigError, ConfigErrors, SchemaError

MAX_ERRORS = 20

_REQUIRED = "required "
_NAME = re.compile(r"[a-zA-Z0-9._-]+\Z", re.ASCII)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<enum>'[^']*'(?:,'[^']*')*)
      | (?P<pattern>/(?:[^/])*/)
      | @(?P<ref>[a-z_]+)
      | (?P<scalar>[a-z]+)(?P<limits>(?::-?[0-9]*){0,2})
      | (?P<punct>[\[\]{}|!+])
    )""",
    re.VERBOSE,
)
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


class Type:
    """One type of attributes.py, compiled: what a value may be."""

    __slots__ = (
        "any",
        "enum",
        "item",
        "limits",
        "names",
        "object",
        "pattern",
        "scalars",
        "text",
        "unique",
        "values",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.any = False
        self.scalars: set[type] = set()
        self.enum: tuple[str, ...] = ()
        self.pattern: re.Pattern[str] | None = None
        self.limits: tuple[int | None, int | None] = (None, None)
        self.item: Type | None = None
        self.unique = False
        self.values: Type | None = None
        self.names: re.Pattern[str] | None = None
        self.object: Object | None = None


class Object:
    """A structure of ATTRIBUTES, compiled; its types are made on first use."""

    __slots__ = ("_types", "extra", "keys", "name", "required")

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys = {key: row[0] for key, row in ATTRIBUTES[name].items()}
        self.required = tuple(key for key, text in self.keys.items() if text.startswith(_REQUIRED))
        self.extra: tuple[str, ...] = ("x-",)  # how other keys begin
        if name in WITHOUT_EXTENSIONS:
            self.extra = ()
        elif name in WITH_ANY_KEY:
            self.extra = ("",)
        self._types: dict[str, Type] = {}

    def type_of(self, key: str) -> Type:
        """Return the compiled type of a key."""
        found = self._types.get(key)
        if found is None:
            found = self._types[key] = compile_type(self.keys[key].removeprefix(_REQUIRED))
        return found


@cache
def object_of(name: str) -> Object:
    """Return the compiled structure `name`."""
    return Object(name)


@cache
def compile_type(text: str) -> Type:
    """Return the compiled form of a type of attributes.py."""
    kind, end = _parse(text, 0)
    if end != len(text):
        raise ValueError(f"cannot read the type {text!r} at {end}")
    return kind


def _parse(text: str, start: int) -> tuple[Type, int]:
    kind = Type(text)
    position = start
    while True:
        token = _TOKEN.match(text, position)
        if not token:
            raise ValueError(f"cannot read the type {text!r} at {position}")
        position = token.end()
        if token["punct"] in ("[", "{"):
            inner, position = _parse(text, position)
            position += 1  # the closing bracket
            suffix = text[position : position + 1]
            if token["punct"] == "[":
                kind.item, kind.unique = inner, suffix == "!"
            else:
                kind.values = inner
                kind.names = {"!": _NAME, "+": re.compile(".")}.get(suffix)
            position += suffix in ("!", "+") and bool(suffix)
        else:
            _add(kind, token)
        if text[position : position + 1] != "|":
            return kind, position
        position += 1


def _add(kind: Type, token: re.Match[str]) -> None:
    if token["enum"]:
        kind.enum = tuple(item.strip("'") for item in token["enum"].split(","))
    elif token["pattern"]:
        kind.pattern = re.compile(token["pattern"][1:-1])
    elif token["ref"]:
        _add_reference(kind, token["ref"])
    elif token["scalar"] == "any":
        kind.any = True
    else:
        kind.scalars.update(_PYTHON_TYPES[token["scalar"]])
        if token["limits"]:
            low, high = (int(part) if part else None for part in token["limits"][1:].split(":"))
            kind.limits = (low, high)


def _add_reference(kind: Type, name: str) -> None:
    if name not in ALIASES:
        kind.object = object_of(name)
        return
    alias = compile_type(ALIASES[name])
    kind.scalars |= alias.scalars
    kind.enum, kind.pattern = alias.enum or kind.enum, alias.pattern or kind.pattern
    kind.item, kind.unique = alias.item or kind.item, alias.unique or kind.unique
    kind.values, kind.names = alias.values or kind.values, alias.names or kind.names
    kind.object = alias.object or kind.object


def validate(root: Map) -> None:
    """Raise SchemaError for what the specification doesn't allow, ConfigErrors for several of them."""
    check = _Validator(root)
    check.object(root, object_of("project"), ())
    if check.errors:
        raise check.errors[0] if len(check.errors) == 1 else ConfigErrors(check.errors)


class _Validator:
    def __init__(self, root: Map) -> None:
        self._root = root
        self.errors: list[ConfigError] = []

    def _error(self, path: Path, reason: str, hint: str | None = None, *, of_key: bool = False) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(
                SchemaError(reason, location=locate(self._root, path, of_key=of_key), hint=hint)
            )

    def object(self, node: dict[str, Any], spec: Object, path: Path) -> None:
        """Check the keys of a mapping, and their values."""
        keys = spec.keys
        for key, value in node.items():
            if key in keys:
                self.value(value, spec.type_of(key), (*path, key))
            elif not key.startswith(spec.extra):
                self._unknown(key, spec, path)
            elif isinstance(value, (dict, list, Timestamp)):
                self._free(value, (*path, key))
        for key in spec.required:
            if key not in node:
                self._error(path, f'missing key "{key}"')

    def value(self, value: Any, kind: Type, path: Path) -> None:
        """Check a value against a type."""
        cls = type(value)
        if cls in kind.scalars:
            if kind.limits != (None, None) and cls in (int, float):
                self._limits(value, kind, path)
            return
        if cls is str and (kind.enum or kind.pattern):
            if value in kind.enum or (kind.pattern and kind.pattern.search(value)):
                return
        elif isinstance(value, dict) and (kind.object or kind.values):
            self._mapping(value, kind, path)
            return
        elif isinstance(value, list) and kind.item:
            self._list(value, kind, path)
            return
        elif kind.any:
            if isinstance(value, (dict, list, Timestamp)):
                self._free(value, path)
            return
        elif isinstance(value, float) and int in kind.scalars and value.is_integer():
            if kind.limits != (None, None):
                self._limits(int(value), kind, path)
            return
        self._mismatch(value, kind, path)

    def _mapping(self, value: dict[str, Any], kind: Type, path: Path) -> None:
        if kind.object:
            self.object(value, kind.object, path)
            return
        inner = kind.values
        for key, item in value.items():
            if kind.names is not None and not kind.names.match(key):
                self._error((*path, key), f'invalid name "{key}": use letters, digits and . _ -', of_key=True)
            elif inner is not None:
                self.value(item, inner, (*path, key))

    def _list(self, value: list[Any], kind: Type, path: Path) -> None:
        inner = kind.item
        if inner is None:
            return
        for index, item in enumerate(value):
            self.value(item, inner, (*path, index))
        if kind.unique and len(value) > 1:
            for index, first in duplicates(value):
                self._error((*path, index), f"the same as item {first}: items must be unique")

    def _limits(self, value: float, kind: Type, path: Path) -> None:
        low, high = kind.limits
        if (low is not None and value < low) or (high is not None and value > high):
            allowed = f"from {low} to {high}" if high is not None else f"at least {low}"
            self._error(path, f"{value} is out of range: {allowed}")

    def _free(self, value: Any, path: Path) -> None:
        """Check what is below an extension: anything but timestamps."""
        if isinstance(value, Timestamp):
            self._error(
                path, f"{value} is a date to YAML, which compose files cannot hold", "put it in quotes"
            )
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, (dict, list, Timestamp)):
                    self._free(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, (dict, list, Timestamp)):
                    self._free(item, (*path, index))

    def _unknown(self, key: str, spec: Object, path: Path) -> None:
        from difflib import get_close_matches  # noqa: PLC0415 - 5 ms that only mistakes cost

        close = get_close_matches(key, spec.keys, 1, 0.6)
        hint = f'did you mean "{close[0]}"?' if close else f"allowed: {', '.join(sorted(spec.keys))}"
        if not close and spec.name == "project":
            hint += ", x-*; is it a service that belongs under services:?"
        self._error((*path, key), f'unknown key "{key}"', hint, of_key=True)

    def _mismatch(self, value: Any, kind: Type, path: Path) -> None:
        if isinstance(value, Timestamp):
            self._error(
                path, f"{value} is a date to YAML, which compose files cannot hold", "put it in quotes"
            )
            return
        hint = None
        if kind.scalars == {str} and isinstance(value, (bool, int, float)):
            hint = "put it in quotes"
        elif value is None:
            hint = "write a value, or remove the key"
        elif kind.enum and isinstance(value, str):
            from difflib import get_close_matches  # noqa: PLC0415

            if close := get_close_matches(value, kind.enum, 1, 0.6):
                hint = f'did you mean "{close[0]}"?'
        elif kind.item and isinstance(value, str):
            hint = f"write a list: [{value}]"
        self._error(path, f"found {describe(value)}, expected {expected(kind)}", hint)


def describe(value: Any) -> str:
    """Say what a value is: `the number 5`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'"{value[:60]}"'
    return "a mapping" if isinstance(value, dict) else "a list"


def expected(kind: Type) -> str:
    """Say what a type allows."""
    words = [f'"{word}"' for word in kind.enum]
    if kind.pattern:
        words.append(f"a string like {kind.pattern.pattern}")
    names = ((str, "a string"), (bool, "a boolean"), (float, "a number"), (type(None), "nothing"))
    words += [name for cls, name in names if cls in kind.scalars]
    if int in kind.scalars and float not in kind.scalars:
        words.append("an integer")
    if kind.item:
        words.append("a list")
    if kind.values or kind.object:
        words.append("a mapping")
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
