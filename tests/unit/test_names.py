"""What classes are called."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.support.sources import modules


def test_a_class_has_its_name_to_itself() -> None:
    """Who reads or searches for a name finds one thing; those that begin with "_" belong to their module alone."""
    places: dict[str, list[str]] = defaultdict(list)
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{module}, line {node.lineno}")

    assert {name: found for name, found in places.items() if len(found) > 1} == {}
