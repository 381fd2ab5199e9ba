"""Trees that remember where every key and value stood in its file.

`Map` and `Seq` are dict and list with the marks of their children beside them, so scalars stay plain Python values.
A mark is libyaml's: `name` (of the file), `line`, `column`, both from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycompose.errors import Location

Key = str | int
Path = tuple[Key, ...]


class Map(dict[str, Any]):
    """A mapping; `at` holds (mark of the key, mark of the value) for the keys that come from a file."""

    __slots__ = ("at",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.at: dict[str, tuple[Any, Any]] = {}


class Struct(Map):
    """A mapping whose keys have an order of their own; the keys of other mappings are sorted when printed."""

    __slots__ = ()


class Seq(list[Any]):
    """A sequence; `at` holds the mark of each item, as far as known (it may be shorter than the list)."""

    __slots__ = ("at",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.at: list[Any] = []


class Tagged:
    """A value under `!reset` or `!override`, until source.py has recorded its path."""

    __slots__ = ("tag", "value")

    def __init__(self, tag: str, value: Any) -> None:
        self.tag = tag
        self.value = value


def clone(node: Any) -> Any:
    """Return a copy of the tree that shares nothing that changes."""
    if isinstance(node, dict):
        copy = Map()
        for key, value in node.items():
            copy[key] = clone(value) if isinstance(value, (dict, list, Tagged)) else value
        copy.at = dict(getattr(node, "at", ()))
        return copy
    if isinstance(node, list):
        items = Seq([clone(item) if isinstance(item, (dict, list, Tagged)) else item for item in node])
        items.at = list(getattr(node, "at", ()))
        return items
    if isinstance(node, Tagged):
        return Tagged(node.tag, clone(node.value))
    return node


def from_plain(value: Any) -> Any:
    """Return dicts and lists as nodes of a tree; they come from no file."""
    if isinstance(value, Mapping):
        return Map({str(key): from_plain(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return Seq([from_plain(item) for item in value])
    return value


def marks(container: Any, key: Key) -> tuple[Any, Any]:
    """Return the marks (key, value) of a child; each may be None."""
    at = getattr(container, "at", None)
    if at is None:
        return None, None
    if isinstance(at, dict):
        return at.get(key, (None, None)) if isinstance(key, str) else (None, None)
    if isinstance(key, int) and 0 <= key < len(at):
        return at[key], at[key]
    return None, None


def render_path(path: Path) -> str:
    """Return `services.web.ports[0]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text


def locate(root: Any, path: Path, *, of_key: bool = False) -> Location:
    """Return the place of the node at `path`: of its value, or of its key with `of_key`; else of the nearest parent."""
    found = None
    node = root
    for index, key in enumerate(path):
        key_mark, value_mark = marks(node, key)
        last = index == len(path) - 1
        found = (key_mark if of_key and last else value_mark) or found
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            break
    return location(found, path)


def location(mark: Any, path: Path = ()) -> Location:
    """Return the Location of a libyaml mark."""
    if mark is None:
        return Location(path=render_path(path))
    return Location(mark.name, mark.line + 1, mark.column + 1, render_path(path))


def path_at(root: Any, place: Location) -> Path | None:
    """Return the path of the outermost node whose key or value begins at `place`."""
    todo: list[tuple[Any, Path]] = [(root, ())]
    while todo:
        node, path = todo.pop(0)
        for key in node if isinstance(node, dict) else range(len(node)):
            for mark in marks(node, key):
                if mark is not None and (mark.line + 1, mark.column + 1) == (place.line, place.column):
                    return (*path, key)
            if isinstance(node[key], (dict, list)):
                todo.append((node[key], (*path, key)))
    return None
