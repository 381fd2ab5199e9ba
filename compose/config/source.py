"""YAML text → trees (tree.py).

Events come from libyaml; the resolver is ours (scalars.py). Duplicate keys, keys that aren't strings, cyclic aliases,
alias bombs and deep nesting are errors. `!reset` and `!override` are taken out and returned as paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pycompose.config.scalars import HINTS, resolve
from pycompose.config.tree import Map, Path, Seq, Tagged, clone, location
from pycompose.engine.dataclass import dataclass, field
from pycompose.errors import ConfigError, ConfigErrors, Location, YamlError
from yaml._yaml import CParser

MAX_DEPTH = 100
MAX_ALIASED_NODES = 400_000
TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """One YAML document: its tree, the paths that it resets or overrides, and the mark of its start."""

    root: Any
    resets: list[Path] = field(default_factory=list)
    mark: Any = None


class _Stream:
    """The bytes under a name: libyaml puts the name into every mark."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data

    def read(self, _size: int = -1, /) -> bytes:
        data, self._data = self._data, b""
        return data


def parse_yaml(data: bytes, name: str) -> list[Document]:
    """Return the documents of `data`; `name` is the file as messages show it. Raises YamlError, ConfigErrors."""
    return list(_Builder(data, name).documents())


class _Builder:
    """Turns the events of one stream into documents; iterative, so that depth costs no stack."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        self._parser = CParser(_Stream(data, name))
        self._errors: list[ConfigError] = []
        self._aliased = 0

    def documents(self) -> Iterator[Document]:
        """Yield the documents. Raises YamlError, ConfigErrors."""
        while True:
            event = self._next()
            if event is None or isinstance(event, yaml.StreamEndEvent):
                break
            if isinstance(event, yaml.DocumentStartEvent):
                document = Document(self._document(), mark=event.start_mark)
                if self._errors:
                    raise self._errors[0] if len(self._errors) == 1 else ConfigErrors(self._errors)
                document.root = _take_tags(document.root, (), document.resets)
                yield document

    def _next(self) -> Any:
        try:
            return self._parser.get_event()
        except yaml.MarkedYAMLError as error:
            raise _syntax_error(error) from None
        except yaml.YAMLError as error:
            raise YamlError(f"not YAML: {_reader_reason(error)}", location=Location(self._name)) from None

    def _document(self) -> Any:
        """Return the root value of the document whose start event was read."""
        stack: list[_Open] = []
        anchors: dict[str, Any] = {}
        while True:
            event = self._next()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                value = self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    raise YamlError(
                        f"nested deeper than {MAX_DEPTH} levels", location=location(event.start_mark)
                    )
                is_map = kind is yaml.MappingStartEvent
                stack.append(_Open(Map() if is_map else Seq(), event, is_map=is_map))
                if event.anchor:
                    anchors[event.anchor] = stack[-1]
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                done = stack.pop()
                value, event = done.node, done.event
                for mark in done.merge():
                    self._problem([*stack, done], Problem("<< takes a mapping or a list of mappings", mark))
            elif kind is yaml.AliasEvent:
                value = self._alias(event, anchors)
            elif kind is yaml.DocumentEndEvent:
                return None
            else:
                continue
            if kind is not yaml.AliasEvent:
                if event.tag in ("!reset", "!override"):
                    value = Tagged(event.tag, value)
                if event.anchor:
                    anchors[event.anchor] = value
            if not stack:
                self._next()  # the document's end
                return value
            if problem := stack[-1].add(value, event):
                self._problem(stack, problem)

    def _problem(self, stack: list[_Open], problem: Problem) -> None:
        """Note what is wrong with the mapping on top of the stack."""
        path: list[str | int] = []
        for opened in stack[:-1]:
            if opened.is_map and (opened.waiting or not isinstance(opened.key, str)):
                break  # inside a key, where no path leads
            path.append(opened.key if opened.is_map else len(opened.node))
        else:
            path += [problem.key] if problem.key is not None else []
        where = location(problem.mark, tuple(path))
        self._errors.append(YamlError(problem.reason, location=where, hint=problem.hint))

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None or event.tag in ("!reset", "!override"):
            if event.style or (text and text[0] not in HINTS):
                return text
            return resolve(text)
        return self._tagged_scalar(event, text)

    def _tagged_scalar(self, event: Any, text: str) -> Any:
        tag: str = event.tag
        if tag == "!":
            return text if event.style else resolve(text)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(tag.removeprefix(TAG))
        if wanted is None:
            # !!str, and tags that mean nothing here (!env, !vault): the text.
            return _decoded(event) if tag == TAG + "binary" else text
        value = resolve(text)
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is wanted:
            return value
        shown = tag.replace(TAG, "!!")
        raise YamlError(f"cannot read {text!r} as {shown}", location=location(event.start_mark))

    def _alias(self, event: Any, anchors: dict[str, Any]) -> Any:
        if event.anchor not in anchors:
            raise YamlError(f"unknown anchor {event.anchor!r}", location=location(event.start_mark))
        value = anchors[event.anchor]
        if isinstance(value, _Open):
            raise YamlError(f"anchor {event.anchor!r} contains itself", location=location(event.start_mark))
        self._aliased += _size(value)
        if self._aliased > MAX_ALIASED_NODES:
            raise YamlError(
                f"aliases expand to more than {MAX_ALIASED_NODES} nodes",
                location=location(event.start_mark),
                hint="this looks like an alias bomb; repeat less, or write the values out",
            )
        return clone(value)


@dataclass(slots=True)
class Problem:
    """What is wrong with an entry of a mapping; `key` is None when it has no path of its own."""

    reason: str
    mark: Any
    key: str | None = None
    hint: str | None = None


class _Open:
    """A mapping or sequence whose end hasn't come yet."""

    __slots__ = ("event", "is_map", "key", "key_event", "merges", "node", "waiting")

    def __init__(self, node: Any, event: Any, *, is_map: bool) -> None:
        self.node = node
        self.event = event
        self.is_map = is_map
        self.waiting = True
        self.key: Any = None
        self.key_event: Any = None
        self.merges: list[tuple[Any, Any]] = []

    def add(self, value: Any, event: Any) -> Problem | None:
        """Take the next item, key or value."""
        mark = event.start_mark
        if not self.is_map:
            self.node.append(value)
            self.node.at.append(mark)
        elif self.waiting:
            self.waiting = False
            self.key, self.key_event = value, event
        else:
            self.waiting = True
            return self._entry(value, mark)
        return None

    def _entry(self, value: Any, mark: Any) -> Problem | None:
        key, event = self.key, self.key_event
        if type(key) is not str:
            shown = "a mapping or sequence" if isinstance(key, (dict, list)) else f'"{event.value}"'
            return Problem(f"key {shown} is not a string", event.start_mark, hint="put it in quotes")
        if key == "<<" and not getattr(event, "style", None):
            self.merges.append((value, mark))
            return None
        at = self.node.at
        if key in self.node:
            line = at[key][0].line + 1
            return Problem(f'key "{key}" is already defined at line {line}', event.start_mark, key)
        self.node[key] = value
        at[key] = (event.start_mark, mark)
        return None

    def merge(self) -> Iterator[Any]:
        """Merge `<<` in: keys written out win, then earlier sources. Yields the marks of what cannot be merged."""
        for value, mark in self.merges:
            for source in value if isinstance(value, list) else [value]:
                plain = source.value if isinstance(source, Tagged) else source
                if isinstance(plain, dict):
                    self._merge(plain, mark)
                else:
                    yield mark
                    break

    def _merge(self, source: Any, mark: Any) -> None:
        for key, value in source.items():
            own = self.node.get(key)
            if isinstance(own, Tagged) and own.tag == "!reset":
                # A key that is reset here is not a key, so that the merged one counts; its path stays reset.
                self.node[key] = value if isinstance(value, Tagged) else Tagged("!override", value)
            elif key not in self.node:
                self.node[key] = value
                self.node.at[key] = source.at.get(key, (mark, mark))
            elif isinstance(value, Tagged) and not isinstance(self.node[key], Tagged):
                self.node[key] = Tagged("!override", self.node[key])


def _decoded(event: Any) -> str:
    """Return the text that a `!!binary` scalar encodes."""
    import base64  # noqa: PLC0415 - nearly no file has binary

    try:
        return base64.b64decode(event.value, validate=False).decode()
    except ValueError:
        raise YamlError("!!binary is not base64 of UTF-8 text", location=location(event.start_mark)) from None


def _size(node: Any) -> int:
    """Count the nodes of a tree."""
    count, todo = 0, [node]
    while todo:
        current = todo.pop()
        count += 1
        if isinstance(current, dict):
            todo.extend(current.values())
        elif isinstance(current, list):
            todo.extend(current)
        elif isinstance(current, Tagged):
            todo.append(current.value)
    return count


def _take_tags(node: Any, path: Path, resets: list[Path]) -> Any:
    """Return the tree without `Tagged`; what was `!reset` is left out. Their paths go to `resets`."""
    if isinstance(node, Tagged):
        resets.append(path)
        return None if node.tag == "!reset" else _take_tags(node.value, path, resets)
    if isinstance(node, dict):
        for key, value in list(node.items()):
            if isinstance(value, (dict, list)):
                _take_tags(value, (*path, key), resets)
            elif isinstance(value, Tagged):
                plain = _take_tags(value, (*path, key), resets)
                if value.tag == "!reset":
                    del node[key]
                else:
                    node[key] = plain
    elif isinstance(node, Seq):
        for index in range(len(node) - 1, -1, -1):
            value = node[index]
            if isinstance(value, Tagged) and value.tag == "!reset":
                del node[index], node.at[index]
            elif isinstance(value, (dict, list, Tagged)):
                node[index] = _take_tags(value, (*path, index), resets)
    return node


def _syntax_error(error: yaml.MarkedYAMLError) -> YamlError:
    mark = error.problem_mark or error.context_mark
    parts = [str(part) for part in (error.context, error.problem) if part]
    hint = None
    if "cannot start any token" in parts[-1]:
        hint = "YAML is indented with spaces, never tabs; quote values that begin with @, ` or %"
    elif "mapping values are not allowed" in parts[-1]:
        hint = "put values that contain ': ' in quotes, and check the indentation"
    return YamlError(f"not YAML: {', '.join(parts)}", location=location(mark), hint=hint)


def _reader_reason(error: yaml.YAMLError) -> str:
    reason = str(getattr(error, "reason", error)).splitlines()[0]
    position = getattr(error, "position", None)
    return f"{reason} at byte {position}" if position is not None else reason
