"""Lists whose items have an identity: a later item takes the place of an earlier one with the same key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.patterns import Trie, compile_rules
from pycompose.config.syntax.mounts import parse_uncleaned, split_colons
from pycompose.config.tree import Map, Path, Seq, locate
from pycompose.errors import SchemaError

Identity = Callable[[Any], object]


def enforce_unique(root: Map) -> Map:
    """Remove what later items redefine, in place. Raises SchemaError for an item without its key."""
    _walk(root, root, (), _RULES)
    return root


def _walk(root: Map, node: Any, path: Path, rules: Trie[Identity]) -> None:
    if isinstance(node, Map):
        for key, value in node.items():
            below = rules.key(key)
            if below is not None:
                if below.rule is not None and isinstance(value, list) and value:
                    node[key] = _unique(root, value, (*path, key), below.rule)
                _walk(root, value, (*path, key), below)
    elif isinstance(node, Seq) and rules.items is not None:
        for index, value in enumerate(node):
            _walk(root, value, (*path, index), rules.items)


def _unique(root: Map, items: Any, path: Path, key_of: Identity) -> Any:
    places: dict[object, int] = {}
    out = Seq()
    item_marks = list(getattr(items, "at", ()))
    for index, item in enumerate(items):
        try:
            key = key_of(item)
        except ValueError as error:
            raise SchemaError(str(error), location=locate(root, (*path, index))) from None
        mark = item_marks[index] if index < len(item_marks) else None
        if key in places:
            out[places[key]] = item
            out.at[places[key]] = mark
        else:
            places[key] = len(out)
            out.append(item)
            out.at.append(mark)
    return items if len(out) == len(items) else out


def _name(item: Any) -> object:
    """`KEY` of `KEY=VALUE`."""
    return item.partition("=")[0] if isinstance(item, str) else ("other", str(item))


def _volume(item: Any) -> object:
    # As spelled: `/t/` is the `/t/` of a long form, and becomes the `/t` of another one in canonical form only.
    if isinstance(item, str):
        return parse_uncleaned(item)["target"]
    target = item.get("target") if isinstance(item, dict) else None
    if not isinstance(target, str):
        raise ValueError('missing key "target": where the volume is mounted in the container')  # noqa: TRY004
    return target


def _device(item: Any) -> object:
    if isinstance(item, str):
        parts = split_colons(item)
        return parts[1] if len(parts) > 1 else parts[0]
    target = item.get("target") if isinstance(item, dict) else None
    if not isinstance(target, str):
        raise ValueError('missing key "target": the path of the device in the container')  # noqa: TRY004
    return target


def _port(item: Any) -> object:
    if not isinstance(item, dict):
        return str(item)
    if "target" not in item:
        raise ValueError('missing key "target": the port in the container')
    published = item.get("published", "")
    host, protocol = item.get("host_ip", "0.0.0.0"), item.get("protocol", "tcp")  # noqa: S104
    # A number and a string are different keys to Compose, so 80 and "80" stay two ports.
    return f"{host}:{published!r}:{item['target']!r}/{protocol}"


def _env_file(item: Any) -> object:
    if isinstance(item, str):
        return item
    path = item.get("path") if isinstance(item, dict) else None
    if path is None:
        raise ValueError('missing key "path"')
    return path


def _expose(item: Any) -> object:
    if isinstance(item, float):
        raise ValueError(f"found the number {item}, expected a port or a range")  # noqa: TRY004
    return str(item)


def _mounted(directory: str) -> Identity:
    """Return the rule for secrets or configs: their path in the container."""

    def key(item: Any) -> object:
        if isinstance(item, str):
            return f"{directory}/{item}"
        if isinstance(item, dict):
            target = item.get("target")  # an empty one is a path of its own
            return f"{directory}/{item.get('source')}" if target is None else target
        return str(item)

    return key


_RULES: Trie[Identity] = compile_rules(
    "unique",
    {
        "config": _mounted(""),
        "device": _device,
        "expose": _expose,
        "name": _name,
        "path": _env_file,
        "port": _port,
        "secret": _mounted("/run/secrets"),
        "volume": _volume,
    },
)


def reset(root: Any, paths: list[Path]) -> None:
    """Remove from `root` what a later document resets or overrides: the nodes at `paths`."""
    for path in paths:
        node = root
        for key in path[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict) and path:
            node.pop(path[-1], None)
