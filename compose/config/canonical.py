"""Short forms → long forms, by path. Runs on each file after the schema has accepted it.

What a rule returns keeps the marks of what it was made from: new mappings and lists get the place of the short form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.attributes import ATTRIBUTES
from pycompose.config.patterns import Trie, compile_rules
from pycompose.config.syntax.mounts import parse_device, parse_volume
from pycompose.config.syntax.ports import parse_port
from pycompose.config.tree import Map, Path, Seq, locate, marks
from pycompose.config.validate import describe
from pycompose.config.warnings import Warnings
from pycompose.errors import ConfigError, ConfigErrors, SchemaError

CanonicalRule = Callable[[Any, Any], Any]


def canonical(root: Map, warnings: Warnings, *, lenient: bool = False) -> Map:
    """Rewrite `root` in place. `lenient` leaves what cannot be parsed (uninterpolated files).

    Raises SchemaError, several as ConfigErrors.
    """
    walk = _Canonicalizer(root, lenient=lenient)
    walk.children(root, (), _RULES)
    for kind in ("volumes", "networks", "secrets", "configs"):
        _externals(root, kind, warnings)
    _device_requests(root, warnings)
    if walk.errors:
        raise walk.errors[0] if len(walk.errors) == 1 else ConfigErrors(walk.errors)
    return root


class _Canonicalizer:
    def __init__(self, root: Map, *, lenient: bool) -> None:
        self._root = root
        self._lenient = lenient
        self.errors: list[ConfigError] = []

    def children(self, node: Any, path: Path, rules: Trie[CanonicalRule]) -> None:
        """Rewrite what is below a node, in place."""
        if isinstance(node, Map):
            for key, value in node.items():
                below = rules.key(key)
                if below is not None:
                    node[key] = self._node(value, (*path, key), below, marks(node, key)[1])
        elif isinstance(node, Seq) and rules.items is not None:
            for index, value in enumerate(node):
                node[index] = self._node(value, (*path, index), rules.items, marks(node, index)[1])

    def _node(self, value: Any, path: Path, rules: Trie[CanonicalRule], mark: Any) -> Any:
        if rules.rule is not None:
            try:
                value = rules.rule(value, mark)
            except ValueError as error:
                if not (self._lenient and "$" in str(value)):
                    place = path
                    if isinstance(error, ItemError):
                        place = (*path, error.index)
                    self.errors.append(SchemaError(str(error), location=locate(self._root, place)))
                return value
        self.children(value, path, rules)
        return value


class ItemError(ValueError):
    """A list rule's complaint about one item."""

    def __init__(self, index: int | str, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def made(mapping: dict[str, Any], mark: Any) -> Map:
    """Return `mapping` as a Map, all of whose values stand at `mark`; nested dicts too."""
    out = Map()
    for key, value in mapping.items():
        out[key] = made(value, mark) if type(value) is dict else value
        out.at[key] = (mark, mark)
    return out


def made_list(items: list[Any], mark: Any) -> Seq:
    """Return `items` as a Seq whose items stand at `mark`."""
    out = Seq(items)
    out.at = [mark] * len(items)
    return out


def _string_list(value: Any, mark: Any) -> Any:
    return made_list([value], mark) if isinstance(value, str) else value


def _names_to_map(value: Any, _mark: Any) -> Any:
    """Turn `[a, b]` into `{a: null, b: null}`: networks and models of a service."""
    if not isinstance(value, list):
        return value
    out = Map()
    for index, name in enumerate(value):
        out[name] = None
        out.at[name] = marks(value, index)
    return out


def _depends_on(value: Any, _mark: Any) -> Any:
    if isinstance(value, list):
        out = Map()
        for index, name in enumerate(value):
            mark = marks(value, index)[1]
            out[name] = made({"condition": "service_started", "required": True}, mark)
            out.at[name] = (mark, mark)
        return out
    if isinstance(value, dict):
        for dependency in value.values():
            if isinstance(dependency, dict):
                dependency.setdefault("required", True)
    return value


def _env_file(value: Any, mark: Any) -> Any:
    if isinstance(value, str):
        return made_list([made({"path": value, "required": True}, mark)], mark)
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                value[index] = made({"path": item, "required": True}, marks(value, index)[1])
            elif isinstance(item, dict):
                item.setdefault("required", True)
    return value


def _extends(value: Any, mark: Any) -> Any:
    return made({"service": value}, mark) if isinstance(value, str) else value


def _gpus(value: Any, mark: Any) -> Any:
    if value == "all":
        return made_list([made({"count": "all"}, mark)], mark)
    return value


def _volume(value: Any, mark: Any) -> Any:
    return made(parse_volume(value), mark) if isinstance(value, str) else value


def _device(value: Any, mark: Any) -> Any:
    if isinstance(value, str):
        return made(parse_device(value), mark)
    if isinstance(value, dict):
        value.setdefault("target", value.get("source", ""))
    return value


def _file_mount(value: Any, mark: Any) -> Any:
    return made({"source": value}, mark) if isinstance(value, str) else value


def _build(value: Any, mark: Any) -> Any:
    return made({"context": value}, mark) if isinstance(value, str) else value


def _ssh(value: Any, mark: Any) -> Any:
    """`[default, id=path]` → `{default: null, id: path}`."""
    if not isinstance(value, list):
        return value
    out = Map()
    for index, item in enumerate(value):
        key, equals, path = item.partition("=")
        if not equals and key != "default":
            raise ItemError(index, f'invalid ssh key {item!r}: "default" or ID=PATH')
        out[key] = path if equals else None
        out.at[key] = (mark, mark)
    return out


def _key_values(value: Any, _mark: Any) -> Any:
    """`[k=v]` → `{k: v}` where the value is required."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(item, str):
                raise ItemError(key, f"found {describe(item)}, expected a string")
    if not isinstance(value, list):
        return value
    out = Map()
    for index, item in enumerate(value):
        key, equals, text = item.partition("=")
        if not equals:
            raise ItemError(index, f"invalid value {item!r}: expected key=value")
        out[key] = text
        out.at[key] = marks(value, index)
    return out


def _ports(value: Any, _mark: Any) -> Any:
    if not isinstance(value, list):
        return value
    out = Seq()
    for index, item in enumerate(value):
        mark = marks(value, index)[1]
        if isinstance(item, dict):
            item.setdefault("mode", "ingress")
            item.setdefault("protocol", "tcp")
            out.append(item)
            out.at.append(mark)
            continue
        try:
            parsed = parse_port(str(item))
        except ValueError as error:
            raise ItemError(index, str(error)) from None
        for port in parsed:
            out.append(made(port, mark))
            out.at.append(mark)
    return out


def _externals(root: Map, kind: str, warnings: Warnings) -> None:
    """`external: {name: n}` → `external: true` and `name: n`, with the warning that it is deprecated."""
    for key, value in (root.get(kind) or {}).items():
        external = value.get("external") if isinstance(value, dict) else None
        if not isinstance(external, dict):
            continue
        where = locate(root, (kind, key, "external"))
        if "name" in external:
            warnings.add("external.name is deprecated: set name and external: true", where)
            if value.get("name") not in (None, external["name"]):
                raise ConfigError("name and external.name conflict", location=where, hint="only use name")
            value["name"] = external["name"]
        value["external"] = True


def _device_requests(root: Map, warnings: Warnings) -> None:
    """Warn about keys of `gpus` that Compose's schema lets through and nothing reads."""
    known = ATTRIBUTES["gpu"]
    for name, service in (root.get("services") or {}).items():
        for index, request in enumerate((service or {}).get("gpus") or ()):
            for key in request if isinstance(request, dict) else ():
                if key not in known and not key.startswith("x-"):
                    where = locate(root, ("services", name, "gpus", index, key), of_key=True)
                    warnings.add(
                        f'unknown key "{key}" is ignored: allowed are {", ".join(sorted(known))}', where
                    )


_RULES: Trie[CanonicalRule] = compile_rules(
    "canonical",
    {
        "build": _build,
        "depends_on": _depends_on,
        "device": _device,
        "env_file": _env_file,
        "extends": _extends,
        "file": _file_mount,
        "gpus": _gpus,
        "list": _string_list,
        "names": _names_to_map,
        "pairs": _key_values,
        "ports": _ports,
        "ssh": _ssh,
        "volume": _volume,
    },
)
