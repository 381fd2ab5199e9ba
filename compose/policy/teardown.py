"""The plans of `stop`, `rm` and `down`: dependants before what they depend on, by the containers' own labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.policy.plan import Plan, RemoveContainer, RemoveNetwork, RemoveVolume, StopContainer
from pycompose.policy.selection import taken_down

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.model import Project
    from pycompose.policy.observed import Observed, ObservedContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class TeardownOptions:
    """What `down` asks for: `services` only (none: all), the data of `volumes` too, other grace periods."""

    services: tuple[str, ...] = ()
    remove_orphans: bool = False
    volumes: bool = False
    timeout_s: float | None = None


def stop_plan(
    containers: Iterable[ObservedContainer],
    *,
    timeout_s: float | None = None,
    signal: int = 0,
    remove: bool = False,
    volumes: bool = False,
) -> Plan:
    """Return the plan that stops (and with `remove` removes) containers, dependants before what they depend on.

    Order comes from the containers' own labels, so it works without the compose file.
    """
    plan = Plan()
    by_service = _by_service(containers)
    by_dependency = _dependants(by_service)
    stops: dict[str, list[int]] = {}
    for service in _dependants_first(by_service):
        dependants = [number for other in by_dependency[service] for number in stops.get(other, [])]
        numbers = []
        for container in by_service[service]:
            last = 0
            if container.running:
                stop = StopContainer(
                    id=container.id,
                    name=container.name,
                    service=service,
                    timeout_s=timeout_s,
                    signal=signal,
                )
                last = plan.add(stop, "asked for", *dependants)
                numbers.append(last)
            if remove:
                operation = RemoveContainer(
                    id=container.id, name=container.name, service=service, volumes=volumes
                )
                plan.add(operation, "asked for", last, *([] if last else dependants))
        stops[service] = numbers or dependants
    return plan


def stop_order(containers: Iterable[ObservedContainer]) -> list[ObservedContainer]:
    """Return containers so that dependants come first."""
    by_service = _by_service(containers)
    return [container for service in _dependants_first(by_service) for container in by_service[service]]


def _by_service(containers: Iterable[ObservedContainer]) -> dict[str, list[ObservedContainer]]:
    found: dict[str, list[ObservedContainer]] = {}
    for container in containers:
        found.setdefault(container.service, []).append(container)
    return found


def _dependants(by_service: Mapping[str, list[ObservedContainer]]) -> dict[str, list[str]]:
    """Return for each service the services of which a container depends on it."""
    found: dict[str, list[str]] = {service: [] for service in by_service}
    for other, members in by_service.items():
        for service in dict.fromkeys(name for member in members for name in member.dependencies):
            if service in found:
                found[service].append(other)
    return found


def _dependants_first(by_service: Mapping[str, list[ObservedContainer]]) -> list[str]:
    """Return the services so that each comes after all that depend on it; leftovers of a cycle come last."""
    waiting = {service: {*others} - {service} for service, others in _dependants(by_service).items()}
    order: list[str] = []
    while waiting:
        ready = sorted(service for service, dependants in waiting.items() if dependants.isdisjoint(waiting))
        if not ready:
            return order + sorted(waiting)
        for service in ready:
            order.append(service)
            del waiting[service]
    return order


def down_plan(observed: Observed, project: Project | None, options: TeardownOptions) -> Plan:
    """Return the plan of `down`: containers in reverse order, then networks, then volumes.

    Without the compose file (`project`) it is about all that the project has made.
    """
    chosen = taken_down(observed, project, options.services, remove_orphans=options.remove_orphans)
    plan = stop_plan(chosen, timeout_s=options.timeout_s, remove=True, volumes=options.volumes)
    removals = [node.number for node in plan.nodes if isinstance(node.operation, RemoveContainer)]
    for name in _own_networks(observed, project) if not options.services else ():
        plan.add(RemoveNetwork(name=name), "asked for", *removals)
    gone = {container.id for container in chosen}
    stays = [container for container in observed.containers if container.id not in gone]
    for name in _own_volumes(observed, project, stays) if options.volumes else ():
        plan.add(RemoveVolume(name=name), "asked for", *removals)
    return plan


def _own_networks(observed: Observed, project: Project | None) -> list[str]:
    """Return the networks that the project has made and doesn't take for somebody else's by now."""
    external = (
        {network.name for network in project.networks.values() if network.external} if project else set()
    )
    made = (name for name, network in observed.networks.items() if network.project == observed.project)
    return sorted(name for name in made if name not in external)


def _own_volumes(
    observed: Observed, project: Project | None, stays: Iterable[ObservedContainer]
) -> list[str]:
    """Return the volumes that go: those of the compose file, if there is one, that nobody has.

    Anonymous ones go with their containers, and stay when those have gone without them: as with Compose.
    """
    declared = (
        {volume.name for volume in project.volumes.values() if not volume.external} if project else None
    )
    used = observed.volumes_of(stays)
    return sorted(
        name
        for name, volume in observed.volumes.items()
        if volume.project == observed.project
        and name not in used
        and not volume.anonymous
        and (declared is None or name in declared)
    )
