"""Path patterns such as `services.*.ports.[]`, compiled into a trie that walks down a tree beside its nodes.

`*` matches any key, `[]` any index. A phase is a table pattern → rule; `compile_table` makes the trie, `compile_rules`
out of the table of attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from pycompose.config.attributes import rules_by_path

T = TypeVar("T")


class Trie(Generic[T]):
    """One step of the patterns: the rule that ends here, and the steps that follow."""

    __slots__ = ("any", "items", "keys", "rule")

    def __init__(self) -> None:
        self.rule: T | None = None
        self.keys: dict[str, Trie[T]] = {}
        self.any: Trie[T] | None = None
        self.items: Trie[T] | None = None

    def key(self, name: str) -> Trie[T] | None:
        """Return what applies to the child `name` of a mapping."""
        return self.keys.get(name) or self.any


def compile_rules(phase: str, rules: Mapping[str, T]) -> Trie[T]:
    """Return the trie of a phase: one of its `rules` wherever a row of the table of attributes names it."""
    return compile_table({path: rules[name] for path, name in rules_by_path()[phase].items()})


def compile_table(table: Mapping[str, T]) -> Trie[T]:
    """Return the trie of a table whose patterns are dotted."""
    root: Trie[T] = Trie()
    for pattern, rule in table.items():
        node = root
        for segment in pattern.split("."):
            if segment == "*":
                node.any = node.any or Trie()
                node = node.any
            elif segment == "[]":
                node.items = node.items or Trie()
                node = node.items
            else:
                node = node.keys.setdefault(segment, Trie())
        node.rule = rule
    return root
