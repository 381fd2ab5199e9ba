"""Who may import whom. The map and its reasons: HACKING.md."""

from __future__ import annotations

import ast
import sys
from functools import cache
from typing import TYPE_CHECKING

from tests.support.sources import Import, imports, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

BASICS = (
    "engine.dataclass", "engine.errors", "engine.batching", "engine.config", "engine.paths", "engine.statefiles",
    "engine.statedirs", "engine.state", "engine.machine", "engine.sysctls", "engine.executables", "engine.journal",
    "engine.digests",
)  # fmt: skip
# A row for every room: a package, or a module that stands higher or lower than its neighbours. What it may import, at
# the top, late, or for types only: rooms in rows above its own. So no arrow goes up, and no circle closes.
ROOMS: dict[str, tuple[str, ...]] = {
    "engine.dataclass": (),
    "engine.errors": (),
    "engine.batching": (),
    "engine.machine": (),
    "engine.executables": (),
    "engine.digests": (),
    "engine.sysctls": ("engine.errors",),
    "engine.config": ("engine.dataclass",),
    "engine.paths": ("engine.dataclass",),
    "engine.statefiles": ("engine.errors",),
    "engine.statedirs": ("engine.errors", "engine.paths"),
    "engine.state": (
        "engine.dataclass", "engine.errors", "engine.config", "engine.paths", "engine.statefiles",
    ),
    "engine.journal": ("engine.dataclass", "engine.paths", "engine.statedirs"),
    "engine.linux": (*BASICS,),
    "engine.cgroups": (*BASICS, "engine.linux"),
    "engine.seccomp": (*BASICS, "engine.linux"),
    "engine.init": (*BASICS,),
    "engine.logs": (*BASICS, "engine.linux"),
    "engine.container": (*BASICS, "engine.linux", "engine.cgroups"),
    "engine.keeper": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.init", "engine.logs", "engine.container",
    ),
    "engine.api": (*BASICS,),
    "engine.apparmor": (*BASICS,),
    "engine.launch": (*BASICS,),
    "engine.client": (
        *BASICS, "engine.seccomp", "engine.keeper", "engine.api", "engine.apparmor", "engine.launch",
    ),
    "engine.images.spec": (*BASICS,),
    "engine.images": (*BASICS, "engine.linux", "engine.images.spec"),
    "engine.images.layers": (*BASICS, "engine.linux", "engine.images"),
    "engine.images.registry": (*BASICS, "engine.linux", "engine.images.spec", "engine.images", "engine.images.layers"),
    "engine.images.archives": (*BASICS, "engine.images.spec", "engine.images", "engine.images.layers"),
    "engine.filesystem": (*BASICS, "engine.linux", "engine.container", "engine.images.layers"),
    "engine.builder": (
        *BASICS, "engine.apparmor",
        "engine.linux", "engine.container", "engine.api", "engine.client", "engine.images.spec",
        "engine.images", "engine.images.layers", "engine.images.registry", "engine.images.archives",
        "engine.filesystem",
    ),
    "networking.model": (*BASICS,),
    "networking.netlink": (*BASICS,),
    "networking.netns": (*BASICS, "engine.linux"),
    "networking.ipam": (*BASICS, "networking.model"),
    "networking.settings": (*BASICS, "networking.model", "networking.ipam"),
    "networking.addressing": (*BASICS, "engine.linux", "networking.model", "networking.ipam", "networking.settings"),
    "networking.records": (*BASICS, "networking.model"),
    "networking.veth": (*BASICS, "networking.model", "networking.netlink", "networking.ipam"),
    "networking.bridge": (
        *BASICS, "networking.model", "networking.netlink", "networking.netns", "networking.ipam",
        "networking.settings", "networking.addressing", "networking.veth",
    ),
    "networking.firewall": (
        *BASICS, "engine.linux", "networking.model", "networking.netlink", "networking.netns",
        "networking.bridge",
    ),
    "networking.dns": (
        *BASICS, "networking.model", "networking.netlink", "networking.netns", "networking.firewall",
    ),
    "networking.ports": (*BASICS, "engine.linux", "networking.model"),
    "networking": (
        *BASICS, "engine.linux", "networking.model", "networking.netlink", "networking.netns", "networking.ipam",
        "networking.settings", "networking.addressing", "networking.records", "networking.bridge",
        "networking.firewall", "networking.dns",
    ),
    "volumes": (*BASICS, "engine.linux"),
    "rootless.places": (),
    "rootless": (*BASICS, "engine.linux", "networking.ports", "rootless.places"),
    "commands": (),
    "units": (),
    "version": (),
    "labels": (),
    "errors": (*BASICS,),
    "model": (*BASICS, "errors"),
    "events": (*BASICS,),
    "privileges": (*BASICS, "rootless", "rootless.places"),
    "cdi": (*BASICS, "model"),
    "config.warnings": ("errors",),
    "config.syntax": (*BASICS, "errors", "config.warnings"),
    "config": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.seccomp", "units", "model", "errors", "cdi",
        "networking.model", "networking.ipam", "networking.settings", "networking", "volumes",
        "config.warnings", "config.syntax",
    ),
    "policy": (*BASICS, "labels", "model", "errors"),
    "ipc": (*BASICS, "engine.linux", "engine.images.spec", "version", "model", "errors", "events", "policy"),
    "state": (
        *BASICS, "networking.model", "networking.records", "networking", "volumes", "labels", "model", "errors",
        "policy", "ipc",
    ),
    "handover": ("rootless.places", "commands"),
    "supervisor.threads": (*BASICS,),
    "supervisor.logfile": (),
    "supervisor.forkserver": ("engine.linux", "handover"),
    "supervisor.network": (
        *BASICS, "engine.linux", "engine.api", "networking.model", "networking.settings", "networking.netlink",
        "networking.firewall", "networking.dns",
        "networking.ports", "networking",
        "labels", "model", "policy", "ipc", "state",
    ),
    "supervisor.api_sockets": (*BASICS, "engine.api", "policy", "ipc", "state"),
    "supervisor.runtime": (
        *BASICS, "engine.apparmor",
        "engine.linux", "engine.container", "engine.logs", "engine.api", "engine.images.spec", "volumes",
        "units", "labels", "model", "cdi", "policy", "state", "supervisor.api_sockets", "supervisor.network",
    ),
    "supervisor.lifecycle": (
        *BASICS, "engine.linux", "engine.logs", "engine.api", "model", "policy", "state",
        "supervisor.threads", "supervisor.runtime",
    ),
    "supervisor.keepers": (
        *BASICS, "engine.linux", "engine.api", "engine.client", "supervisor.threads", "supervisor.runtime",
    ),
    "supervisor.stdio": (
        *BASICS, "engine.api", "supervisor.threads", "supervisor.runtime", "supervisor.lifecycle",
    ),
    "supervisor.init_containers": (
        *BASICS, "model", "supervisor.threads", "supervisor.runtime", "supervisor.lifecycle",
    ),
    "supervisor.announcements": ("engine.dataclass", "model", "events", "policy"),
    "supervisor.execute": (*BASICS, "policy"),
    "supervisor.tasks": (),
    "supervisor.owners": (*BASICS, "state"),
    "supervisor.auto_remove": (*BASICS, "supervisor.lifecycle", "supervisor.tasks"),
    "supervisor.container_events": ("events", "ipc", "supervisor.logfile"),
    "supervisor.adoption": (
        *BASICS, "engine.api", "policy", "state", "supervisor.threads", "supervisor.network",
        "supervisor.runtime", "supervisor.lifecycle", "supervisor.stdio",
    ),
    "supervisor.operations": (
        *BASICS, "engine.images.spec", "volumes", "model", "events", "policy", "state",
        "supervisor.threads", "supervisor.network", "supervisor.runtime", "supervisor.lifecycle",
        "supervisor.init_containers", "supervisor.announcements",
    ),
    "supervisor.watcher": ("errors", "ipc", "supervisor.lifecycle"),
    "supervisor.background_watcher": (
        *BASICS, "errors", "state", "supervisor.threads", "supervisor.watcher",
    ),
    "supervisor.project": (
        *BASICS, "engine.api", "engine.images.spec", "networking", "version", "model", "events", "policy",
        "state", "supervisor.threads", "supervisor.api_sockets",
        "supervisor.network", "supervisor.runtime", "supervisor.lifecycle",
        "supervisor.keepers", "supervisor.stdio", "supervisor.tasks", "supervisor.auto_remove",
        "supervisor.container_events", "supervisor.adoption", "supervisor.operations", "supervisor.watcher",
        "supervisor.owners", "supervisor.background_watcher",
    ),
    "supervisor.handlers": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.api", "model", "events", "policy", "ipc",
        "state", "supervisor.threads", "supervisor.runtime", "supervisor.lifecycle",
        "supervisor.announcements", "supervisor.execute", "supervisor.operations", "supervisor.project",
    ),
    "supervisor": (
        *BASICS, "engine.linux", "version", "errors", "ipc", "state", "supervisor.threads",
        "supervisor.logfile", "supervisor.forkserver", "supervisor.keepers", "supervisor.project",
        "supervisor.handlers",
    ),
    "build": (
        *BASICS, "engine.images.spec", "engine.images", "engine.builder",
        "networking.model", "networking", "version", "labels", "model", "events",
    ),
    "kube": (
        *BASICS, "engine.images.spec", "units", "model", "errors", "config",
    ),
    "client": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.container", "engine.logs", "engine.images.spec",
        "engine.images", "engine.images.layers", "engine.images.registry", "engine.images.archives",
        "engine.filesystem", "engine.builder", "networking.model", "networking", "volumes", "units", "labels",
        "model", "errors", "events", "config.syntax", "config", "policy", "ipc", "state", "build", "kube",
    ),
    "watch": (
        *BASICS, "engine.linux", "engine.container", "engine.images", "engine.filesystem", "engine.builder",
        "labels", "model", "errors", "events", "config", "policy", "ipc", "state", "build", "client",
    ),
    "testing": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.filesystem", "networking", "volumes", "units",
        "privileges", "model", "errors",
        "events", "config", "policy", "ipc", "state", "handover", "client",
    ),
    "machine": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.logs", "engine.container", "engine.images.spec",
        "engine.images", "engine.images.layers", "engine.images.registry", "engine.images.archives", "engine.builder",
        "networking.model", "networking.settings", "networking", "volumes", "units", "version", "labels",
        "model", "cdi", "errors", "events", "config.syntax", "config", "policy", "ipc", "state", "build", "client",
    ),
    "doctor": (
        *BASICS, "engine.apparmor", "privileges", "rootless",
        "engine.linux", "engine.cgroups", "engine.init", "engine.container", "engine.keeper",
        "networking.model",
        "networking.netlink", "networking.netns", "networking.ipam", "networking.bridge",
        "networking.firewall",
    ),
    "dockercli": (*BASICS, "version"),
    "cli.gotemplate": (*BASICS,),
    "cli.display": (*BASICS, "errors", "events", "policy", "build", "client", "cli.gotemplate"),
    "api": (
        *BASICS,
        "engine.linux", "engine.cgroups", "engine.logs", "engine.images", "engine.images.layers",
        "engine.images.registry", "engine.filesystem", "engine.builder", "networking.model", "volumes", "units",
        "version", "labels", "model", "errors", "events", "policy", "ipc", "state", "client", "machine", "cli.display",
    ),
    "page": (
        *BASICS, "engine.linux", "engine.cgroups", "engine.logs", "labels", "events", "policy", "ipc", "state",
        "networking.model", "client", "machine", "api",
    ),
    "cli": (
        *BASICS, "engine.builder", "units", "model", "errors", "events", "privileges", "config", "client",
        "watch", "machine", "dockercli", "cli.display",
    ),
    "cli.commands": (
        *BASICS, "privileges", "version", "model", "errors", "events", "config.syntax", "config", "policy", "build",
        "kube", "client", "watch", "testing", "machine", "doctor", "dockercli", "cli.gotemplate", "cli.display", "api",
        "page", "cli",
    ),
    "cli.container": (*BASICS, "client", "machine", "cli.display", "cli", "cli.commands"),
    "cli.main": (*BASICS, "commands", "cli", "cli.commands"),
    "entry": (*BASICS, "rootless.places", "privileges", "ipc", "handover", "dockercli", "cli", "cli.main"),
    "caller": ("engine.linux", "engine.cgroups"),
    "forkserver_keeper": ("engine.launch",),
    "forkserver_fork": (
        *BASICS, "engine.linux", "engine.launch", "state", "handover", "cli.main", "entry", "caller",
    ),
    "forkserver": (
        *BASICS, "engine.linux", "commands", "handover", "forkserver_fork", "forkserver_keeper", "caller",
    ),
    "__main__": ("entry",),
}  # fmt: skip
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
    "__future__", "abc", "binascii", "collections", "contextlib", "ctypes", "enum", "errno", "fcntl", "functools", "gc",
    "io", "itertools", "json", "math", "operator", "os", "pathlib", "select", "signal", "socket", "stat",
    "struct", "sys", "time", "types", "typing",
)  # fmt: skip
# Each third-party library has one home.
HOMES: dict[str, tuple[str, ...]] = {
    "backports": ("pycompose.engine.images",),
    "click": ("pycompose.cli",),
    "compression": ("pycompose.engine.images",),  # the standard library's, from 3.14 on
    "dnslib": ("pycompose.networking.dns",),
    "h11": ("pycompose.api.connection",),
    "isal": ("pycompose.engine.images",),
    "networkx": ("pycompose.policy.graph",),
    "pytest": ("pycompose.testing",),
    "pyroute2": ("pycompose.networking.netlink.newlink",),
    "rich": ("pycompose.cli",),
    "urllib3": ("pycompose.engine.images",),
    "watchfiles": ("pycompose.watch",),
    "yaml": ("pycompose.config", "pycompose.cdi", "pycompose.kube.documents"),
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


def room(module: str) -> str:
    """Return the room that a module is in: its own, or its package's. Raises KeyError for one without a row."""
    name = module.removeprefix("pycompose.")
    if name in ROOMS:
        return name
    above = name.rpartition(".")[0]
    if above not in ROOMS:
        raise KeyError(module)
    return above


@cache
def code() -> dict[str, Path]:
    """Return the modules that hold something: `__init__` files hold a sentence each."""
    return {name: path for name, path in modules().items() if path.name != "__init__.py"}


def test_every_module_is_in_a_room() -> None:
    """A new package has to say where it stands."""
    lost = []
    for name in code():
        try:
            room(name)
        except KeyError:
            lost.append(name)
    assert lost == []


def test_imports_point_down() -> None:
    """Every import, late ones and those for types too, goes to a room that the row names."""

    def wrong(name: str, entry: Import) -> bool:
        if entry.module not in code():
            return False
        target = room(entry.module)
        return target != room(name) and target not in ROOMS[room(name)]

    assert offences(code(), wrong) == []


def test_rows_name_what_is_above_them_and_used() -> None:
    """The order of the rows is the order of the house; a name in a row that nobody needs, or that is gone, goes."""
    above: list[str] = []
    wrong = []
    used: dict[str, set[str]] = {name: set() for name in ROOMS}
    for name in code():
        used[room(name)] |= {room(entry.module) for entry in imports(name) if entry.module in code()}
    inhabited = {room(name) for name in code()}
    for name, allowed in ROOMS.items():
        wrong += [f"{name}: nothing is in it"] if name not in inhabited else []
        wrong += [f"{name} -> {other}: not above it" for other in allowed if other not in above]
        idle = [other for other in allowed if other not in used[name] and other not in BASICS]
        wrong += [f"{name} -> {other}: not used" for other in idle]
        above.append(name)
    assert wrong == []


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
    """Modules form a graph without cycles, late imports and those for types included."""
    known = code().keys()
    graph = {name: {entry.module for entry in imports(name)} & known for name in known}
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
    # What users import offers its parts, each loaded on first use.
    packages = [n for n, path in modules().items() if path.name == "__init__.py" and n != "pycompose.testing"]

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
