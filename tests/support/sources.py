"""The product's modules as text: which there are and what each imports, without importing any of them."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = {
    "pycompose": REPOSITORY / "compose",
    "pycompose.engine": REPOSITORY / "engine",
    "pycompose.networking": REPOSITORY / "networking",
    "pycompose.volumes": REPOSITORY / "volumes",
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module. `typing_only`: under `if TYPE_CHECKING`. `late`: inside a function."""

    module: str
    line: int
    typing_only: bool
    late: bool


@cache
def settings() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def modules() -> dict[str, Path]:
    """Return import name → file of every module of the four folders."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            names = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *names])] = path
    return found


@cache
def imports(module: str) -> list[Import]:
    """Return what `module` imports; `from a import b` counts as a.b when that is a module of ours."""
    found: list[Import] = []
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    _visit(tree, found, typing_only=False, late=False)
    return found


def _visit(node: ast.AST, found: list[Import], *, typing_only: bool, late: bool) -> None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        found += [
            Import(module=name, line=node.lineno, typing_only=typing_only, late=late) for name in _names(node)
        ]
        return
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        for child in node.body:
            _visit(child, found, typing_only=True, late=late)
        return
    inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for inner in ast.iter_child_nodes(node):
        _visit(inner, found, typing_only=typing_only, late=late or inside)


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, f"relative import in line {node.lineno}"
    assert node.module is not None
    whole = [f"{node.module}.{alias.name}" for alias in node.names]
    return [name if name in modules() else node.module for name in whole]
