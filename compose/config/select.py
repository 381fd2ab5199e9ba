"""Which services of a model are enabled: profiles, services named on the command line, what those depend on."""

from __future__ import annotations

from collections.abc import Iterable

from pycompose.config.tree import Map, location
from pycompose.errors import Location, unknown_service


def split_by_profiles(root: Map, profiles: Iterable[str], named: Iterable[str]) -> tuple[Map, Map]:
    """Return (enabled, disabled) services. Naming a service activates its profiles. Raises UnknownService.

    Where no profile is asked for, the one without a name is, as in Compose: `profiles: ["", x]` is on by default.
    """
    services: Map = root.get("services") or Map()
    active = set(profiles) or {""}
    for name in named:
        if name not in services:
            raise unknown_service(name, services)
        active.update(services[name].get("profiles") or ())
    enabled, disabled = Map(), Map()
    for name, service in services.items():
        wanted = service.get("profiles") or ()
        target = enabled if not wanted or "*" in active or active.intersection(wanted) else disabled
        target[name] = service
        target.at[name] = services.at.get(name, (None, None))
    return enabled, disabled


def enable_needed(enabled: Map, disabled: Map) -> None:
    """Move the disabled services that enabled ones can't do without to these, in place."""
    todo = list(enabled)
    while todo:
        for needed, how in (enabled[todo.pop()].get("depends_on") or {}).items():
            if needed in disabled and how.get("required", True):
                enabled[needed] = disabled.pop(needed)
                enabled.at[needed] = disabled.at.get(needed, (None, None))
                todo.append(needed)


def select(enabled: Map, disabled: Map, named: Iterable[str]) -> tuple[Map, Map]:
    """Return (enabled, disabled) with only `named` and what they need enabled.

    Raises UnknownService for a needed service that isn't enabled, which only a model without checks has.
    """
    todo = list(named)
    if not todo:
        return enabled, disabled
    wanted: set[str] = set()
    while todo:
        name = todo.pop()
        if name in wanted:
            continue
        if name not in enabled:
            raise unknown_service(name, enabled)
        wanted.add(name)
        todo += [
            needed
            for needed, how in (enabled[name].get("depends_on") or {}).items()
            if needed in enabled or how.get("required", True)
        ]
    chosen, rest = Map(), Map(disabled)
    rest.at = dict(disabled.at)
    for name, service in enabled.items():
        target = chosen if name in wanted else rest
        target[name] = service
        target.at[name] = enabled.at.get(name, (None, None))
    for service in chosen.values():
        _drop_optional(service, chosen)
    return chosen, rest


def _drop_optional(service: Map, enabled: Map) -> None:
    """Forget optional dependencies on services that aren't enabled."""
    depends_on: Map = service.get("depends_on") or Map()
    for name in list(depends_on):
        if name not in enabled and not depends_on[name].get("required", True):
            del depends_on[name]


def drop_unused(root: Map) -> None:
    """Remove networks, volumes, secrets, configs and models that no enabled service uses, in place."""
    used: dict[str, set[str]] = {
        "networks": set(),
        "volumes": set(),
        "secrets": set(),
        "configs": set(),
        "models": set(),
    }
    for service in root["services"].values():
        used["networks"].update(service.get("networks") or ())
        used["volumes"].update(
            mount["source"]
            for mount in service.get("volumes") or ()
            if mount.get("type") == "volume" and mount.get("source")
        )
        for reference in (
            *(service.get("secrets") or ()),
            *((service.get("build") or {}).get("secrets") or ()),
        ):
            used["secrets"].add(reference.get("source", ""))
        used["models"].update(service.get("models") or ())
        used["configs"].update(reference.get("source", "") for reference in service.get("configs") or ())
    for kind, names in used.items():
        resources = root.get(kind)
        if resources is None:
            continue
        for name in list(resources):
            if name not in names:
                del resources[name]
        if not resources:
            del root[kind]


def where(services: Map, name: str) -> Location:
    """Return the place of a service."""
    return location(services.at.get(name, (None, None))[0], ("services", name))
