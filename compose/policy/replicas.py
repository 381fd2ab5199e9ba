"""Which containers of a service stay, and why one is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.model import Project, Service
    from pycompose.policy.observed import ObservedContainer


def container_name(project: Project, service: Service, number: int) -> str:
    """Return the name of a replica: `container_name`, or project-service-number."""
    return service.container_name or project.joined(service.name, str(number))


def diverged(service: Service, container: ObservedContainer, image_id: str) -> str:
    """Return in what a container differs from the service and its image ("": unknown), "" when in nothing."""
    if container.config_hash != service.hash:
        return "configuration changed"
    if image_id and container.config.image_id and container.config.image_id != image_id:
        return "image changed"
    return ""


def choose(
    existing: list[ObservedContainer], count: int, replaced: Callable[[ObservedContainer], str]
) -> tuple[list[ObservedContainer], list[ObservedContainer]]:
    """Split into `count` to keep and those too many; up-to-date, running and low-numbered ones are kept first.

    `replaced` tells why one has to be replaced, "" for one that hasn't.
    """
    ids = {container.id for container in existing}
    ranked = sorted(
        existing,
        key=lambda c: (
            c.half_way and c.replaces in ids,
            bool(replaced(c)),
            not c.running or c.stopping,
            c.number,
            c.config.created_ns,
        ),
    )
    kept: list[ObservedContainer] = []
    numbers: set[int] = set()
    for container in ranked:
        if len(kept) < count and container.number not in numbers:
            kept.append(container)
            numbers.add(container.number)
    surplus = [container for container in existing if container not in kept]
    return sorted(kept, key=lambda c: c.number), sorted(surplus, key=lambda c: -c.number)


def can_start_first(service: Service, old: ObservedContainer) -> bool:
    """Tell whether a replacement is to run before `old` stops, and can: not with the same address."""
    return (
        service.update_order == "start-first"
        and old.running
        and not old.stopping
        and not service.mac_address
        and not any(e.ipv4_address or e.ipv6_address or e.mac_address for e in service.networks)
    )
