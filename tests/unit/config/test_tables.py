"""The loader's tables fit each other: what may be written, what is printed, what is done by path."""

from __future__ import annotations

import pytest
from pycompose.config import canonical, checks, interpolate, marshal, merge, paths, unique, unsupported
from pycompose.config.attributes import ALIASES, ATTRIBUTES, rules_by_path
from pycompose.config.patterns import Trie, compile_table
from pycompose.config.validate import compile_type, object_of

# What the format knows and no model prints: forms of other keys, and keys without a meaning.
NOT_PRINTED = {
    "project": {"version", "include"},
    "include": {"path", "env_file", "project_directory"},
    "service": {"pull_refresh_after"},
    "external_name": {"name"},
}
TABLES = {
    "canonical": canonical._RULES,
    "cast": interpolate._CASTS,
    "merge": merge._RULES,
    "paths": paths._RULES,
    "unique": unique._RULES,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_type_can_be_read(name: str) -> None:
    """Types are text; a slip in one would only show in a file that uses it."""
    spec = object_of(name)

    assert all(spec.type_of(key) for key in spec.keys)
    assert all(compile_type(text) for text in ALIASES.values())


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_may_be_written_is_printed(name: str) -> None:
    """No attribute gets lost on its way."""
    silent = {key for key, row in ATTRIBUTES[name].items() if not row[1]}

    assert silent == NOT_PRINTED.get(name, set())


def test_rows_name_words_and_structures_that_exist() -> None:
    """A slip in how a value is printed would only show in a file that has it."""
    kinds = {row[1].rstrip("?") for rows in ATTRIBUTES.values() for row in rows.values()} - {""}
    named = {kind.strip("=[]{}") for kind in kinds if kind[0] in "=[{"}

    assert named <= set(ATTRIBUTES)
    assert {kind for kind in kinds if kind[0] not in "=[{"} == set(marshal._KINDS)


def test_rows_name_phases() -> None:
    """A rule of a phase that doesn't exist would never run; an unknown rule of a phase fails at import."""
    assert rules_by_path().keys() == TABLES.keys()


@pytest.mark.parametrize("table", (checks._RULES, unsupported._RULES), ids=("checks", "unsupported"))
def test_patterns_are_paths_of_the_format(table: Trie) -> None:
    """A rule for a key that doesn't exist would never run; these two tables write their paths out."""
    _follow(table, "project", "project")


def _follow(node: Trie, structure: str, where: str) -> None:
    for key, below in node.keys.items():
        assert key in ATTRIBUTES[structure], f"{where}.{key}"
        kind = ATTRIBUTES[structure][key][1].rstrip("?")
        _follow(_inside(below, kind), kind.strip("=[]{}"), f"{where}.{key}")


def _inside(node: Trie, kind: str) -> Trie:
    """Return the step below the keys or indices of a mapping or list of structures."""
    if kind.startswith("{"):
        return node.any or Trie()
    return (node.items or Trie()) if kind.startswith("[") else node


def test_a_pattern_matches_keys_and_indices() -> None:
    """Literal keys come before `*`."""
    trie = compile_table({"a.*.b": 1, "a.x.[]": 2})
    below = trie.keys["a"]

    assert below.key("y") is below.any
    assert below.key("x") is below.keys["x"]
    assert below.keys["x"].items is not None
    assert below.keys["x"].items.rule == 2
