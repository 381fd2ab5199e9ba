"""The loader's tables fit each other: what may be written, what is printed, what is done by path."""

from __future__ import annotations

import pytest
from pycompose.config import canonical, checks, interpolate, merge, paths, unique
from pycompose.config import unsupported as effects
from pycompose.config.marshal_table import SHAPES
from pycompose.config.patterns import Trie, compile_table
from pycompose.config.schema_table import ALIASES, OBJECTS
from pycompose.config.validate import compile_type, object_of

# What the format knows and no model prints: forms of other keys, and keys without a meaning.
NOT_PRINTED = {
    "project": {"version", "include"},
    "service": {"pull_refresh_after"},
    "ipam": {"options"},
}
# Structures that the program shares: reservations print as limits, secrets and configs as each other.
ALSO_PRINTED = {
    "limits": {"devices", "generic_resources"},
    "secret": {"content"},
    "config": {"driver", "driver_opts"},
}
# Names of the same thing in the two tables.
SPELLING = {
    "-blkio": "blkio",
    "-blkio_limit": "blkio_limit",
    "-blkio_weight": "blkio_weight",
    "-env_file": "env_file",
}
TABLES = {
    "canonical": canonical._RULES,
    "casts": interpolate._CASTS,
    "checks": checks._RULES,
    "merge": merge._RULES,
    "paths": paths._RULES,
    "unique": unique._RULES,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_type_can_be_read(name: str) -> None:
    """Types are text; a slip in one would only show in a file that uses it."""
    spec = object_of(name)

    assert all(spec.type_of(key) for key in spec.keys)
    assert all(compile_type(text) for text in ALIASES.values())


@pytest.mark.parametrize("name", [name for name in OBJECTS if SPELLING.get(name, name) in SHAPES])
def test_what_may_be_written_is_printed(name: str) -> None:
    """No attribute gets lost on its way, and none is printed that cannot be written."""
    written = set(object_of(name).keys) - NOT_PRINTED.get(name, set())

    assert written <= set(SHAPES[SPELLING.get(name, name)])
    assert set(SHAPES[SPELLING.get(name, name)]) - written == ALSO_PRINTED.get(name, set())


def test_shapes_refer_to_shapes() -> None:
    """Every structure that a shape names exists."""
    kinds = {kind.rstrip("?") for shape in SHAPES.values() for kind in shape.values()}
    named = {kind.strip("=[]{}") for kind in kinds if kind[0] in "=[{"}

    assert named <= set(SHAPES)


@pytest.mark.parametrize("name", TABLES)
def test_patterns_are_paths_of_the_format(name: str) -> None:
    """A rule for a key that doesn't exist would never run."""
    _follow(TABLES[name], "project", name)


def _follow(node: Trie, shape: str, where: str) -> None:
    for key, below in node.keys.items():
        assert key in OBJECTS.get(shape, {}) or key.rstrip("*") in SHAPES.get(shape, {key}), f"{where}.{key}"
        kind = SHAPES.get(shape, {}).get(key, "").rstrip("?")
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


def test_remarks_are_about_services() -> None:
    """The table of what has no effect begins below `services`."""
    services = effects._RULES.any

    assert services is not None
    _follow(services, "service", "effects")
