"""`extends`: a service starts from another one of the same file, or of another file, and merges itself over it.

The base's networks, volumes and dependencies are taken by name, not imported. Chains are followed, cycles are named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pycompose.config.merge import merge
from pycompose.config.schema import describe
from pycompose.config.tree import Map, Path, clone, marks
from pycompose.config.tree import location as place
from pycompose.config.unique import reset
from pycompose.errors import ConfigError, Location, SchemaError


@dataclass(frozen=True, slots=True)
class External:
    """What a file gives to `extends`: its services (canonical, paths rebased), its resets, its name for messages."""

    services: Any
    resets: list[Path]
    name: str


LoadFile = Callable[[str, Location], External]


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
            services[name] = _Resolver(resets, load).service(name, services, file, ())


class _Resolver:
    def __init__(self, resets: list[Path], load: LoadFile) -> None:
        self._load = load
        self._resets: list[list[Path]] = [resets]

    def service(self, name: str, services: Any, file: str, chain: tuple[tuple[str, str], ...]) -> Any:
        """Return the service `name` with its chain applied; `chain` is (file, service) of those that led here."""
        service = services[name]
        if not isinstance(service, dict) or service.get("extends") is None:
            return service
        mark = marks(service, "extends")[1]
        where = place(mark, ("services", name, "extends"))
        reference, path = _reference(service["extends"], where)
        if (file, name) in chain:
            steps = [*chain[chain.index((file, name)) :], (file, name)]
            sentence = " -> ".join(f"{step} ({source})" for source, step in steps)
            raise ConfigError(f"extends goes in a circle: {sentence}", location=where)
        base_file, base_services = file, services
        if path is not None:
            file_mark = marks(service["extends"], "file")[1] or mark
            external = self._load(path, place(file_mark, ("services", name, "extends", "file")))
            self._resets.append(external.resets)
            base_file, base_services = external.name, external.services
        if not isinstance(base_services, dict) or reference not in base_services:
            known = ", ".join(base_services) if isinstance(base_services, dict) else ""
            raise ConfigError(
                f"cannot extend service {reference!r}: not found in {base_file}",
                location=where,
                hint=f"services there: {known}" if known else None,
            )
        base = self.service(reference, base_services, base_file, (*chain, (file, name)))
        if base is None:
            return service
        return self._merged(name, clone(base), service)

    def _merged(self, name: str, base: Any, service: Any) -> Any:
        for paths in self._resets:
            reset(Map({"services": Map({name: base})}), paths)
        own = Map({key: value for key, value in service.items() if key != "extends"})
        own.at = service.at
        merged = merge(base, own, ("services", name))
        merged.pop("extends", None)
        return merged


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
