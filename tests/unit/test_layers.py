"""Who may import whom. The map and its reasons: HACKING.md."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from tests.support.sources import Import, imports, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BASICS = (
    "pycompose.engine.dataclass",
    "pycompose.engine.errors",
    "pycompose.engine.paths",
    "pycompose.engine.statedirs",
    "pycompose.engine.statefiles",
    "pycompose.engine.batching",
    "pycompose.engine.config",
    "pycompose.engine.linux",
)
# The first row whose name is the module or a package around it decides. Values: packages or modules.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "pycompose.engine.linux": (
        "pycompose.engine.linux",
        "pycompose.engine.errors",
        "pycompose.engine.dataclass",
    ),
    "pycompose.engine": ("pycompose.engine",),
    "pycompose.networking": ("pycompose.networking", *BASICS),
    "pycompose.volumes": ("pycompose.volumes", *BASICS),
    "pycompose.config": (
        "pycompose.config",
        "pycompose.cdi",
        "pycompose.errors",
        "pycompose.model",
        "pycompose.units",
        "pycompose.engine.errors",
        "pycompose.engine.dataclass",
        "pycompose.engine.config",
        "pycompose.engine.seccomp.build",
    ),
    "pycompose.cdi": (
        "pycompose.cdi",
        "pycompose.model",
        "pycompose.engine.config",
        "pycompose.engine.dataclass",
        "pycompose.engine.errors",
    ),
    "pycompose.doctor": (
        "pycompose.doctor",
        "pycompose.engine",
        "pycompose.networking",
    ),
    "pycompose.policy": (
        "pycompose.policy",
        "pycompose.errors",
        "pycompose.labels",
        "pycompose.model",
        "pycompose.engine.config",
        "pycompose.engine.dataclass",
        "pycompose.engine.errors",
        "pycompose.engine.state",
    ),
    "pycompose.cli.gotemplate": (
        "pycompose.cli.gotemplate",
        "pycompose.engine.errors",
        "pycompose.engine.dataclass",
    ),
    "pycompose.cli": (
        "pycompose.cli",
        "pycompose.doctor",
        "pycompose.client",
        "pycompose.commands",
        "pycompose.machine",
        "pycompose.config",
        "pycompose.errors",
        "pycompose.events",
        "pycompose.cli.gotemplate",
        "pycompose.model",
        "pycompose.policy.observed",
        "pycompose.privileges",
        "pycompose.units",
        "pycompose.version",
        "pycompose.engine.dataclass",
        "pycompose.engine.errors",
        "pycompose.engine.paths",
        "pycompose.engine.statedirs",
    ),
}
# Decisions without side effects: same input, same answer, on any machine.
PURE = (
    "pycompose.policy",
    "pycompose.model",
    "pycompose.labels",
    "pycompose.units",
    "pycompose.client.query_options",
    "pycompose.client.options",
    "pycompose.client.views",
)
PURE_MAY_IMPORT = (
    *PURE,
    "pycompose.errors",
    "pycompose.engine.config",
    "pycompose.engine.dataclass",
    "pycompose.engine.errors",
    "pycompose.engine.state",
)
IMPURE = ("os", "time", "logging", "subprocess", "socket", "pathlib", "threading", "asyncio", "random")
# What runs in the keeper and in its children, where memory is counted and threads are forbidden.
KEEPER_SIDE = (
    "pycompose.engine.keeper",
    "pycompose.engine.keeper.spawn",
    "pycompose.engine.container.child",
    "pycompose.engine.init",
    "pycompose.engine.linux",
    "pycompose.engine.cgroups",
)
KEEPER_MAY_IMPORT = (
    "__future__", "binascii", "collections", "contextlib", "ctypes", "enum", "errno", "fcntl", "functools", "gc",
    "io", "itertools", "json", "math", "operator", "os", "pathlib", "select", "signal", "socket", "stat",
    "struct", "sys", "time", "types", "typing",
)  # fmt: skip
# Each third-party library has one home.
HOMES: dict[str, tuple[str, ...]] = {
    "click": ("pycompose.cli",),
    "dnslib": ("pycompose.networking.dns",),
    "isal": ("pycompose.engine.images",),
    "networkx": ("pycompose.policy.graph",),
    "pyroute2": ("pycompose.networking.netlink.rtnetlink",),
    "rich": ("pycompose.cli",),
    "urllib3": ("pycompose.engine.images",),
    "watchfiles": ("pycompose.watch",),
    "yaml": ("pycompose.config", "pycompose.cdi"),
    "zstandard": ("pycompose.engine.images",),
}
LONGEST_MODULE = 600
LONGEST_FUNCTION = 60


def within(module: str, package: str) -> bool:
    """Tell whether `module` is `package` or inside it."""
    return module == package or module.startswith(package + ".")


def keeper_side(module: str) -> bool:
    """Tell whether the keeper loads `module`; `keeper_x` belongs to `keeper`."""
    return any(within(module, name) or module.startswith(name + "_") for name in KEEPER_SIDE)


def library(entry: Import) -> str:
    """Return the first part of the imported name."""
    return entry.module.partition(".")[0]


def offences(names: Iterable[str], wrong: Callable[[str, Import], bool]) -> list[str]:
    """Return one line per import in the modules `names` that is `wrong`."""
    return [
        f"{name}, line {entry.line}: imports {entry.module}"
        for name in names
        for entry in imports(name)
        if wrong(name, entry)
    ]


def test_imports_point_the_right_way() -> None:
    """Mechanism never asks policy, networking and volumes never ask each other, the engine asks nobody."""

    def wrong(name: str, entry: Import) -> bool:
        rule = next((allowed for package, allowed in MAY_IMPORT.items() if within(name, package)), None)
        if rule is None or library(entry) != "pycompose" or entry.module == "pycompose":
            return False
        return not any(within(entry.module, allowed) for allowed in rule)

    assert offences(modules(), wrong) == []


def test_dataclasses_are_our_own() -> None:
    """The standard library's compile code at import: 0.4 ms a class, of which every process has about a hundred."""
    assert offences(sorted(modules()), lambda _name, entry: library(entry) == "dataclasses") == []


def test_decisions_are_pure() -> None:
    """They import data and each other; types may come from anywhere."""

    def wrong(_name: str, entry: Import) -> bool:
        if entry.typing_only:
            return False
        if library(entry) == "pycompose":
            return not any(within(entry.module, allowed) for allowed in PURE_MAY_IMPORT)
        return library(entry) in IMPURE

    pure = [name for name in modules() if any(within(name, package) for package in PURE)]
    assert {next(package for package in PURE if within(name, package)) for name in pure} == set(PURE)
    assert offences(pure, wrong) == []


def test_the_keeper_stays_small() -> None:
    """What the keeper and its children load is a short list of the standard library, and the engine."""

    def wrong(_name: str, entry: Import) -> bool:
        allowed = within(entry.module, "pycompose.engine") or library(entry) in KEEPER_MAY_IMPORT
        return not (entry.typing_only or allowed)

    assert offences(filter(keeper_side, modules()), wrong) == []


def test_every_library_has_one_home() -> None:
    """A library that is imported in one place can be replaced, and its import time is paid once."""

    def wrong(name: str, entry: Import) -> bool:
        if library(entry) in {*sys.stdlib_module_names, "pycompose"}:
            return False
        return not any(within(name, home) for home in HOMES.get(library(entry), ()))

    assert offences(modules(), wrong) == []


def test_nothing_imports_in_a_circle() -> None:
    """Imports at the top of modules form a graph without cycles."""
    known = modules().keys()
    graph = {
        name: {entry.module for entry in imports(name) if not (entry.typing_only or entry.late)} & known
        for name in known
    }
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name in done:
            return
        for other in sorted(graph[name] - {name}):
            walk(other, (*trail, name))
        done.add(name)

    for name in graph:
        walk(name, ())


def test_packages_import_nothing() -> None:
    """Every start of every command would pay for it."""
    packages = [name for name, path in modules().items() if path.name == "__init__.py"]

    assert offences(packages, lambda _name, _entry: True) == []


def test_nothing_is_too_long() -> None:
    """Modules and functions stay within what one can hold in mind."""
    long = []
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > LONGEST_MODULE:
            long.append(f"{name}: {lines} lines")
        long += [
            f"{name}.{node.name}: {lines} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
        ]
    assert long == []
