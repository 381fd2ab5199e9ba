"""`include`: other projects' files, loaded in their own directory and with their own `.env`, merged into this model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from pycompose.config.files import display, read_text, refuse_remote
from pycompose.config.merge import merge
from pycompose.config.paths import expand_user
from pycompose.config.syntax import dotenv
from pycompose.config.tree import Map, Path, clone, marks
from pycompose.config.tree import location as place
from pycompose.config.unique import reset
from pycompose.config.warnings import Warnings
from pycompose.engine.dataclass import dataclass, field
from pycompose.errors import ConfigError, Location

RESOURCES = ("services", "volumes", "networks", "secrets", "configs", "models")


@dataclass(frozen=True, slots=True)
class LoadScope:
    """Where a model is loaded: its absolute `directory`, the `base` its relative paths are joined to, its variables.

    `base` equals `directory` for the main model; for included ones it is relative to the including directory, so
    that paths stay relative when the user asked for that.
    """

    directory: str
    base: str
    environment: Mapping[str, str]
    home: str = ""
    including: tuple[str, ...] = ()
    where: Location | None = None
    warnings: Warnings = field(default_factory=Warnings)


LoadModel = Callable[[LoadScope, tuple[str, ...]], Map]


def apply_include(root: Map, scope: LoadScope, file: str, resets: list[Path], load: LoadModel) -> None:
    """Load what `root` includes and merge it, in place. `file` is the including file, absolute. Raises ConfigError."""
    entries = root.pop("include", None)
    if entries is None:
        return
    where = place(root.at.get("include", (None, None))[1], ("include",))
    if not isinstance(entries, list):
        raise ConfigError("include is not a list", location=where, hint="include: [path/compose.yaml]")
    imported: dict[tuple[str, str], tuple[Any, str]] = {}
    for index, entry in enumerate(entries):
        mark = marks(entries, index)[1]
        location = place(mark, ("include", index))
        inner, paths = _scope(entry, scope, file, location)
        model = load(inner, paths)
        _refuse_clash(model, imported, display(paths[0], scope.directory), location)
        _import(model, root, resets)


def _scope(entry: Any, scope: LoadScope, file: str, where: Location) -> tuple[LoadScope, tuple[str, ...]]:
    """Return the scope of one entry and its files, absolute."""
    if isinstance(entry, str):
        entry = {"path": entry}
    if not isinstance(entry, dict):
        raise ConfigError("an include is neither a path nor a mapping", location=where)
    listed = _strings(entry.get("path"), where)
    if not listed:
        raise ConfigError('missing key "path"', location=where)
    for path in listed:
        refuse_remote(path, where)
    paths = tuple(
        os.path.normpath(os.path.join(scope.directory, expand_user(path, scope.home))) for path in listed
    )
    own = entry.get("project_directory")
    directory = os.path.normpath(os.path.join(scope.directory, own)) if own else os.path.dirname(paths[0])
    base = own if own and os.path.isabs(own) else _relative(own or paths[0], scope.directory)
    chain = (*scope.including, file)
    if paths[0] in chain:
        circle = " -> ".join(
            display(path, scope.directory) for path in (*chain[chain.index(paths[0]) :], paths[0])
        )
        raise ConfigError(f"include goes in a circle: {circle}", location=where)
    environment = _environment(_strings(entry.get("env_file"), where), directory, scope, where)
    return LoadScope(directory, base, environment, scope.home, chain, where, scope.warnings), paths


def _relative(path: str, directory: str) -> str:
    """Return the directory that `path` is or lies in, relative to `directory`.

    One that doesn't exist is taken for a file, as Compose does.
    """
    full = os.path.join(directory, path)
    return os.path.relpath(full if os.path.isdir(full) else os.path.dirname(full), directory)


def _strings(value: Any, where: Location) -> list[str]:
    items = [value] if isinstance(value, str) else value or []
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ConfigError("an include takes a path or a list of paths", location=where)
    return items


def _environment(files: list[str], directory: str, scope: LoadScope, where: Location) -> dict[str, str]:
    """Return the variables of an included model: the including one's, then its own env files."""
    environment = dict(scope.environment)
    if not files:
        default = os.path.join(directory, ".env")
        files = [default] if os.path.isfile(default) else []
    merged: dict[str, str] = {}
    for file in files:
        path = os.path.join(scope.directory, file)
        shown = display(path, scope.directory)
        text = read_text(path, shown, where=where, what="env file")

        def lookup(name: str) -> str | None:
            outer = scope.environment.get(name)
            return merged.get(name) if outer is None else outer

        merged.update(dotenv.parse(text, shown, lookup, warnings=scope.warnings))
    for key, value in merged.items():
        environment.setdefault(key, value)
    return environment


def _refuse_clash(
    model: Map, imported: dict[tuple[str, str], tuple[Any, str]], file: str, where: Location
) -> None:
    """Raise ConfigError for what two included models define differently; leave out what they define alike.

    `imported` is what came before, with its file, and takes up what is new.
    """
    for kind in RESOURCES:
        resources = model.get(kind) or Map()
        for name in list(resources):
            if (kind, name) not in imported:
                imported[kind, name] = (clone(resources[name]), file)
                continue
            before, first = imported[kind, name]
            if before != resources[name]:
                raise ConfigError(
                    f"{kind[:-1]} {name} is defined differently by {first} and by {file}",
                    location=where,
                    hint="give one of them another name",
                )
            del resources[name]


def _import(source: Map, target: Map, resets: list[Path]) -> None:
    """Add the resources of an included model; what the including file says about the same name wins."""
    for kind in RESOURCES:
        resources = source.get(kind)
        if not resources:
            continue
        own = target.get(kind)
        if not isinstance(own, Map):
            own = target[kind] = Map()
        for name, resource in resources.items():
            mark = resources.at.get(name, (None, None))
            if name in own:
                wrapped = Map({kind: Map({name: resource})})
                reset(wrapped, resets)
                kept = wrapped[kind].get(name)
                if kept is not None and own[name] is not None:
                    own[name] = merge(kept, own[name], (kind, name))
                elif kept is not None:
                    own[name] = kept
            else:
                own[name] = resource
                own.at[name] = mark
