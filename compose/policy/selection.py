"""Which of the containers that there are a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.policy.observed import orphans
from pycompose.policy.plan import CreateContainer, RemoveContainer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycompose.model import Project
    from pycompose.policy.observed import Observed, ObservedContainer
    from pycompose.policy.plan import Plan


def selected(
    observed: Observed, services: Collection[str], ids: Collection[str] = (), *, oneoffs: bool = False
) -> list[ObservedContainer]:
    """Return the containers of the named ids, else of the named services (of all, for none named)."""
    if ids:
        return [container for container in observed.containers if container.id in ids]
    return [
        container
        for container in observed.containers
        if (oneoffs or not container.oneoff) and (not services or container.service in services)
    ]


def remaining(observed: Observed, plan: Plan, services: Iterable[str]) -> list[str]:
    """Return the names of the services' containers that there will be after the plan, by number."""
    gone = {node.operation.id for node in plan.nodes if isinstance(node.operation, RemoveContainer)}
    made = [node.operation for node in plan.nodes if isinstance(node.operation, CreateContainer)]
    found = []
    for service in services:
        names = {c.number: c.name for c in observed.of_service(service) if c.id not in gone}
        names |= {operation.number: operation.name for operation in made if operation.service == service}
        found += [names[number] for number in sorted(names)]
    return found


def with_dependencies(observed: Observed, chosen: Collection[ObservedContainer]) -> list[ObservedContainer]:
    """Return the chosen containers and those of the services that they depend on, as far as there are any."""
    services = {container.service for container in chosen}
    new = services
    while new:
        wanted = {
            dependency.service
            for container in observed.containers
            if container.service in new
            for dependency in container.depends_on
        }
        new = wanted - services
        services |= new
    return [c for c in observed.containers if c in chosen or (c.service in services and not c.oneoff)]


def with_restarting_dependants(
    observed: Observed, chosen: Collection[ObservedContainer]
) -> list[ObservedContainer]:
    """Return the chosen containers and those that run and asked to be restarted with them (`depends_on.restart`)."""
    services = {container.service for container in chosen}
    grown = True
    while grown:
        more = {
            container.service
            for container in observed.containers
            if container.running and any(d.restart and d.service in services for d in container.depends_on)
        }
        grown = not more <= services
        services |= more
    return [
        c
        for c in observed.containers
        if c.service in services and not c.oneoff and (c in chosen or c.running)
    ]


def taken_down(
    observed: Observed, project: Project | None, services: Collection[str], *, remove_orphans: bool
) -> list[ObservedContainer]:
    """Return the containers that `down` is about, as in Compose.

    What a profile switches off stays. Orphans of an earlier compose file, and what `run` has made, stay unless they
    are asked for; but not what `run --rm` has made and could not remove: a disk was full, or somebody was killed. Init
    containers that have failed go with their service.
    """
    chosen = selected(observed, services, oneoffs=remove_orphans)
    if project is not None and not services:
        gone = set() if remove_orphans else {container.id for container in orphans(project, observed)}
        off = project.disabled_services
        chosen = [c for c in chosen if c.id not in gone and (c.oneoff or c.service not in off)]
    overdue = [
        c
        for c in selected(observed, services, oneoffs=True)
        if (c.hook or (c.oneoff and c.auto_remove and not c.running)) and c not in chosen
    ]
    return chosen + overdue
