"""How a later file changes an earlier one, and how a service extends another.

Mappings merge, lists append, scalars replace (Compose specification, 13-merge.md); the exceptions are the rules that
the table of attributes names. Both sides may be in short form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.canonical import made
from pycompose.config.marshal import text_of
from pycompose.config.patterns import Trie, compile_rules
from pycompose.config.tree import Map, Path, Seq, locate, marks, render_path
from pycompose.config.validate import describe
from pycompose.errors import ConfigError

MergeRule = Callable[[Any, Any, "_Merge", Path, "Trie[Any]"], Any]


def merge(base: Map, over: Map, path: Path = ()) -> Map:
    """Return `base` changed by `over`; both may be reused in the result. Raises ConfigError ("cannot override")."""
    rules: Trie[MergeRule] | None = _RULES
    for key in path:
        rules = rules.key(str(key)) if rules else None
    merged: Map = _Merge(over, path).node(base, over, path, rules)
    return merged


class _Merge:
    def __init__(self, root: Map, start: Path) -> None:
        self._root = root
        self._start = len(start)

    def node(self, base: Any, over: Any, path: Path, rules: Trie[MergeRule] | None) -> Any:
        """Return `base` changed by `over`, by the rule for the path if there is one."""
        if rules is not None and rules.rule is not None:
            return rules.rule(base, over, self, path, rules)
        if over is None:
            return base
        if isinstance(base, dict):
            if not isinstance(over, dict):
                raise self._clash(base, over, path)
            return self.mappings(base, over, path, rules)
        if isinstance(base, list):
            if not isinstance(over, list):
                raise self._clash(base, over, path)
            return append(base, over)
        return over

    def mappings(self, base: Any, over: Any, path: Path, rules: Trie[MergeRule] | None) -> Any:
        """Return `base` with the keys of `over` merged in."""
        for key, value in over.items():
            if key in base:
                below = rules.key(key) if rules else None
                base[key] = self.node(base[key], value, (*path, key), below)
                if not isinstance(value, (dict, list)):
                    base.at[key] = marks(over, key)
            else:
                base[key] = value
                base.at[key] = marks(over, key)
        return base

    def _clash(self, base: Any, over: Any, path: Path) -> ConfigError:
        return ConfigError(
            f"cannot override {render_path(path)}: it is {describe(base)}, this is {describe(over)}",
            location=locate(self._root, path[self._start :]),
            hint="!override replaces a value whatever it is, !reset removes it",
        )


def append(base: Any, over: Any) -> Seq:
    """Return both lists as one, with the places of the items."""
    out = Seq([*base, *over])
    out.at = [*_item_marks(base), *_item_marks(over)]
    return out


def _item_marks(items: Any) -> list[Any]:
    known = list(getattr(items, "at", ()))[: len(items)]
    return known + [None] * (len(items) - len(known))


def sequence(value: Any) -> Seq:
    """Return `{k: v}` as `[k=v]` in the order of the keys, a string as one item, a list as it is."""
    if isinstance(value, list):
        return value if isinstance(value, Seq) else Seq(value)
    out = Seq()
    if isinstance(value, dict):
        for key in sorted(value):
            item = value[key]
            for single in item if isinstance(item, list) else [item]:
                out.append(key if single is None else f"{key}={text_of(single)}")
                out.at.append(marks(value, key)[1])
    elif value is not None:
        out.append(value)
        out.at.append(None)
    return out


def mapping(value: Any, default: dict[str, Any] | None) -> Map:
    """Return `[a, b]` as `{a: default, b: default}`, a mapping as it is."""
    if isinstance(value, Map):
        return value
    out = Map(value if isinstance(value, dict) else ())
    if isinstance(value, list):
        for index, name in enumerate(value):
            mark = marks(value, index)[1]
            out[name] = None if default is None else made(default, mark)
            out.at[name] = (mark, mark)
    return out


def _replace(_base: Any, over: Any, _merge: _Merge, _path: Path, _rules: Trie[MergeRule]) -> Any:
    return over


def _pairs(base: Any, over: Any, _merge: _Merge, _path: Path, _rules: Trie[MergeRule]) -> Any:
    return append(sequence(base), sequence(over))


def _hosts(base: Any, over: Any, _merge: _Merge, _path: Path, _rules: Trie[MergeRule]) -> Any:
    first, second = sequence(base), sequence(over)
    fresh = Seq([item for item in second if item not in first])
    return append(first, fresh)


def _build(base: Any, over: Any, merge_: _Merge, path: Path, rules: Trie[MergeRule]) -> Any:
    sides = [made({"context": side}, None) if isinstance(side, str) else side for side in (base, over)]
    return merge_.mappings(sides[0] or Map(), sides[1] or Map(), path, rules)


def _depends_on(base: Any, over: Any, merge_: _Merge, path: Path, rules: Trie[MergeRule]) -> Any:
    default = {"condition": "service_started", "required": True}
    return merge_.mappings(mapping(base, default), mapping(over, default), path, rules)


def _names(base: Any, over: Any, merge_: _Merge, path: Path, rules: Trie[MergeRule]) -> Any:
    first, second = mapping(base, None), mapping(over, None)
    for key, value in second.items():
        if value is None and key in first:
            second = Map({name: item for name, item in second.items() if name != key})
    for key, value in first.items():
        if value is None and second.get(key) is not None:
            first[key] = Map()
    return merge_.mappings(first, second, path, rules)


def _logging(base: Any, over: Any, merge_: _Merge, path: Path, rules: Trie[MergeRule]) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if "driver" not in base or "driver" not in over or base["driver"] == over["driver"]:
        return merge_.mappings(base, over, path, rules)
    return over


def _ulimit(base: Any, over: Any, merge_: _Merge, path: Path, rules: Trie[MergeRule]) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return merge_.mappings(base, over, path, rules)
    return over


def _pools(base: Any, over: Any, merge_: _Merge, path: Path, _rules: Trie[MergeRule]) -> Any:
    """`ipam.config`: pools of the same subnet merge."""
    out = Seq()
    out.at = _item_marks(base)
    for index, pool in enumerate(base):
        out.append(pool)
        for other in over:
            if other.get("subnet") == pool.get("subnet"):
                out[index] = merge_.mappings(pool, other, path, None)
    known = {pool.get("subnet") for pool in base}
    return append(out, Seq([pool for pool in over if pool.get("subnet") not in known]))


_RULES: Trie[MergeRule] = compile_rules(
    "merge",
    {
        "build": _build,
        "depends_on": _depends_on,
        "hosts": _hosts,
        "logging": _logging,
        "names": _names,
        "pairs": _pairs,
        "pools": _pools,
        "replace": _replace,
        "ulimit": _ulimit,
    },
)
