"""The plans of `stop`, `rm` and `down`: dependants before what they depend on, by the containers' own labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.policy.plan import Plan, RemoveContainer, RemoveNetwork, RemoveVolume, StopContainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.policy.observed import Observed, ObservedContainer


def stop_plan(
    containers: Iterable[ObservedContainer],
    *,
    timeout_s: float | None = None,
    remove: bool = False,
    volumes: bool = False,
) -> Plan:
    """Return the plan that stops (and with `remove` removes) containers, dependants before what they depend on.

    Order comes from the containers' own labels, so it works without the compose file.
    """
    plan = Plan()
    by_service = _by_service(containers)
    stops: dict[str, list[int]] = {}
    for service in _dependants_first(by_service):
        dependants = [
            number
            for other, members in by_service.items()
            if any(service in member.dependencies for member in members)
            for number in stops.get(other, [])
        ]
        numbers = []
        for container in by_service[service]:
            last = 0
            if container.running:
                stop = StopContainer(
                    id=container.id, name=container.name, service=service, timeout_s=timeout_s
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


def _dependants_first(by_service: Mapping[str, list[ObservedContainer]]) -> list[str]:
    """Return the services so that each comes after all that depend on it; leftovers of a cycle come last."""
    waiting = {
        service: {
            other
            for other, members in by_service.items()
            if other != service and any(service in member.dependencies for member in members)
        }
        for service in by_service
    }
    order: list[str] = []
    while waiting:
        ready = sorted(service for service, dependants in waiting.items() if not dependants - set(order))
        if not ready:
            return order + sorted(waiting)
        for service in ready:
            order.append(service)
            del waiting[service]
    return order


def down_plan(
    observed: Observed,
    *,
    containers: Iterable[ObservedContainer],
    networks: Iterable[str],
    volumes: Iterable[str],
    timeout_s: float | None = None,
    anonymous_volumes: bool = False,
) -> Plan:
    """Return the plan of `down`: containers in reverse order, then networks, then volumes."""
    plan = stop_plan(containers, timeout_s=timeout_s, remove=True, volumes=anonymous_volumes)
    removals = [node.number for node in plan.nodes if isinstance(node.operation, RemoveContainer)]
    for name in networks:
        if name in observed.networks:
            plan.add(RemoveNetwork(name=name), "asked for", *removals)
    for name in volumes:
        if name in observed.volumes:
            plan.add(RemoveVolume(name=name), "asked for", *removals)
    return plan
