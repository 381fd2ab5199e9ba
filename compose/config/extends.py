"""`extends`: a service starts from another one of the same file, or of another file, and merges itself over it.

The base's networks, volumes and dependencies are taken by name, not imported. Chains are followed, cycles are named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycompose.config.merge import merge
from pycompose.config.tree import Map, Path, clone, marks
from pycompose.config.tree import location as place
from pycompose.config.unique import reset
from pycompose.config.validate import describe
from pycompose.engine.dataclass import dataclass
from pycompose.errors import ConfigError, Location, SchemaError


@dataclass(frozen=True, slots=True)
class ExtendedFile:
    """What a file gives to `extends`: its services (canonical, paths rebased), its resets, its name for messages."""

    services: Any
    resets: list[Path]
    name: str


LoadFile = Callable[[str, Location], ExtendedFile]


def apply_extends(root: Map, file: str, resets: list[Path], load: LoadFile) -> None:
    """Replace the services of `root` that extend others, in place.

    `file` names the file of `root`, `resets` are its `!reset` and `!override` paths, which apply to bases too;
    `load(path, where)` reads another file. Raises ConfigError.
    """
    if "services" not in root:
        return
    services = root["services"]
    if not isinstance(services, Map):
        where = place(marks(root, "services")[1], ("services",))
        raise SchemaError(f"found {describe(services)}, expected a mapping", location=where)
    for name in list(services):
        if isinstance(services[name], dict) and "extends" in services[name]:
            services[name] = _ExtendsChain(resets, load).service(name, services, file)


class _ExtendsChain:
    def __init__(self, resets: list[Path], load: LoadFile) -> None:
        self._load = load
        self._resets: list[list[Path]] = [resets]

    def service(self, name: str, services: Any, file: str) -> Any:
        """Return the service `name` with its bases merged in; a loop, so that chains may be long."""
        chain: list[_Link] = []
        while isinstance(service := services[name], dict) and service.get("extends") is not None:
            link = _Link(
                name, services, file, place(marks(service, "extends")[1], ("services", name, "extends"))
            )
            _refuse_circle(chain, link)
            chain.append(link)
            name, services, file = self._base(link)
        result = service
        for link in reversed(chain):
            own = link.services[link.name]
            if result is not None:
                own = self._merged(link.name, clone(result), own)
            # Services of the same mapping that come later in the file start from the finished one.
            result = link.services[link.name] = own
        return result

    def _base(self, link: _Link) -> tuple[str, Any, str]:
        """Return (service, services it is in, their file) of what a link extends."""
        extends = link.services[link.name]["extends"]
        reference, path = _reference(extends, link.where)
        file, services = link.file, link.services
        if path is not None:
            mark = marks(extends, "file")[1]
            where = place(mark, ("services", link.name, "extends", "file")) if mark else link.where
            external = self._load(path, where)
            self._resets.append(external.resets)
            file, services = external.name, external.services
        if not isinstance(services, dict) or reference not in services:
            known = ", ".join(services) if isinstance(services, dict) else ""
            raise ConfigError(
                f"cannot extend service {reference!r}: not found in {file}",
                location=link.where,
                hint=f"services there: {known}" if known else None,
            )
        return reference, services, file

    def _merged(self, name: str, base: Any, service: Any) -> Any:
        for paths in self._resets:
            reset(Map({"services": Map({name: base})}), paths)
        own = Map({key: value for key, value in service.items() if key != "extends"})
        own.at = service.at
        merged = merge(base, own, ("services", name))
        merged.pop("extends", None)
        return merged


@dataclass(frozen=True, slots=True)
class _Link:
    """One service of a chain: it extends what comes next."""

    name: str
    services: Any
    file: str
    where: Location


def _refuse_circle(chain: list[_Link], link: _Link) -> None:
    names = [(step.file, step.name) for step in chain]
    if (link.file, link.name) in names:
        steps = [*names[names.index((link.file, link.name)) :], (link.file, link.name)]
        sentence = " -> ".join(f"{name} ({file})" for file, name in steps)
        raise ConfigError(f"extends goes in a circle: {sentence}", location=link.where)


def _reference(extends: Any, where: Any) -> tuple[str, str | None]:
    """Return (service, file or None)."""
    if isinstance(extends, str):
        return extends, None
    if not isinstance(extends, dict) or not isinstance(extends.get("service"), str):
        raise ConfigError(
            'missing key "service"', location=where, hint="extends: {service: NAME, file: PATH}"
        )
    file = extends.get("file")
    if file is not None and not isinstance(file, str):
        raise ConfigError("the file is not a string", location=where)
    return extends["service"], file
