"""Desired and observed in, a plan out: pure, so that every decision can be read as text and tested as data.

The rules are Docker Compose's (compose-spec.md 11): recreate when the configuration hash, the image, a network, a
volume or the container whose namespace is shared has changed; start what is merely stopped; leave the rest alone.
A replacement is created before the old container is stopped, so that bad input loses nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.model import Condition, Dependency, Network, Project, Service, Volume
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    Plan,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from pycompose.policy.sharing import joined_services

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.policy.observed import Observed, ObservedContainer


class Recreate(Enum):
    """When a container is replaced by a new one."""

    DIVERGED = "diverged"
    FORCE = "force"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """What `up`, `create` and `scale` ask for.

    `services` are those in scope, in dependency order; `named` those the user named (all of them when he named
    none). `images` maps service → image id. `start` False only creates. `timeout_s` overrides grace periods.
    `stale_volumes` are the keys of volumes to be made anew, without their data. `forced` are the ids of the containers
    that FORCE is about, None for all: when a process has died and the command is repeated, it leaves what is new.
    """

    services: tuple[str, ...]
    named: frozenset[str] = frozenset()
    images: Mapping[str, str] = field(default_factory=dict)
    recreate: Recreate = Recreate.DIVERGED
    recreate_dependencies: Recreate = Recreate.DIVERGED
    renew_volumes: bool = False
    stale_volumes: frozenset[str] = frozenset()
    forced: frozenset[str] | None = None
    remove_orphans: bool = False
    start: bool = True
    wait_for_dependencies: bool = True
    timeout_s: float | None = None


def container_name(project: Project, service: Service, number: int) -> str:
    """Return the name of a replica: `container_name`, or project-service-number."""
    return service.container_name or f"{project.name}-{service.name}-{number}"


def reconcile(project: Project, observed: Observed, options: ReconcileOptions) -> Plan:
    """Return the plan that makes `observed` what `project` says, for the services in scope."""
    return _Planner(project, observed, options).plan()


@dataclass(slots=True)
class _Planner:
    project: Project
    observed: Observed
    options: ReconcileOptions
    result: Plan = field(default_factory=Plan)
    networks: dict[str, int] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
    started: dict[str, list[int]] = field(default_factory=dict)
    waits: dict[tuple[str, Condition, bool], int] = field(default_factory=dict)
    recreated: set[str] = field(default_factory=set)
    stopped: dict[str, int] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    created: dict[str, list[int]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)

    def plan(self) -> Plan:
        services = [
            self.project.services[name] for name in self.options.services if name in self.project.services
        ]
        if self.options.remove_orphans:
            self.gone = self._remove_orphans()
        self._resources(services)
        for service in services:
            self._service(service)
        self._start_again()
        return self.result

    def _remove_orphans(self) -> list[int]:
        """Remove what the project doesn't know; the new ones wait for it: they may have its ports and names."""
        found = [
            self._remove(orphan, "orphan: no such service in the project")
            for orphan in orphans(self.project, self.observed)
        ]
        for container in self.observed.containers:
            if container.oneoff and not container.running:
                self._remove(container, "a one-off that has ended")
        return found

    def _resources(self, services: Iterable[Service]) -> None:
        services = list(services)
        used = {endpoint.network for service in services for endpoint in service.networks}
        for key in sorted(used):
            network = self.project.networks[key]
            if network.name not in self.observed.networks:
                cause = "external" if network.external else "not found"
                self.networks[key] = self.result.add(CreateNetwork(key=key, name=network.name), cause)
            elif self._network_changed(network):
                self.networks[key] = self._replace_network(network)
        used = {v.source for service in services for v in service.volumes if v.kind == "volume" and v.source}
        for key in sorted(used):
            volume = self.project.volumes[key]
            if volume.name not in self.observed.volumes:
                cause = "external" if volume.external else "not found"
                self.volumes[key] = self.result.add(CreateVolume(key=key, name=volume.name), cause)
            elif key in self.options.stale_volumes:
                self.volumes[key] = self._replace_volume(volume)

    def _network_changed(self, network: Network) -> bool:
        made_from = self.observed.networks[network.name]
        return not network.external and made_from not in ("", network.hash)

    def _replace_network(self, network: Network) -> int:
        """Make a network anew; everybody on it has to leave it first, and is started again afterwards."""
        self.remade.add(network.key)
        users = [
            service
            for service in self.project.services.values()
            if any(endpoint.network == network.key for endpoint in service.networks)
        ]
        stops = self._stop_all(users, f"network {network.name} changed")
        remove = self.result.add(
            RemoveNetwork(name=network.name, optional=False), "configuration changed", *stops
        )
        return self.result.add(
            CreateNetwork(key=network.key, name=network.name), f"replaces #{remove}", remove
        )

    def _replace_volume(self, volume: Volume) -> int:
        """Make a volume anew, without its data; who uses it is stopped before and recreated afterwards."""
        users = [
            service
            for service in self.project.services.values()
            if any(v.kind == "volume" and v.source == volume.key for v in service.volumes)
        ]
        stops = self._stop_all(users, f"volume {volume.name} changed")
        remove = self.result.add(RemoveVolume(name=volume.name), "configuration changed", *stops)
        create = CreateVolume(key=volume.key, name=volume.name)
        return self.result.add(create, f"replaces #{remove}", remove)

    def _stop_all(self, services: Iterable[Service], cause: str) -> list[int]:
        """Stop what runs of the services."""
        return [
            self._stop(container, cause)
            for service in services
            for container in self.observed.of_service(service.name)
            if container.running
        ]

    def _stop(self, container: ObservedContainer, cause: str, *after: int) -> int:
        """Add the stop of a container, once."""
        if container.id not in self.stopped:
            operation = StopContainer(
                id=container.id,
                name=container.name,
                service=container.service,
                timeout_s=self.options.timeout_s,
            )
            self.stopped[container.id] = self.result.add(operation, cause, *after)
        return self.stopped[container.id]

    def _stop_dependants(self, service: str, after: int) -> list[int]:
        """Stop those who asked to be restarted with a service that is replaced (`depends_on.restart`)."""
        stops = []
        for dependant in self.project.services.values():
            if any(d.service == service and d.restart for d in dependant.depends_on):
                for container in self.observed.of_service(dependant.name):
                    if container.running:
                        cause = f"{service}, which it depends on, is recreated"
                        stops.append(self._stop(container, cause, after))
        return stops

    def _start_again(self) -> None:
        """Start what was stopped for the sake of others and has not been replaced."""
        removed = {
            getattr(n.operation, "id", "")
            for n in self.result.nodes
            if isinstance(n.operation, RemoveContainer)
        }
        started = {
            getattr(n.operation, "id", "")
            for n in self.result.nodes
            if isinstance(n.operation, StartContainer)
        }
        for container in self.observed.containers:
            stop = self.stopped.get(container.id)
            service = self.project.services.get(container.service)
            if stop is None or service is None or container.id in removed | started or not self.options.start:
                continue
            operation = StartContainer(
                service=service.name, number=container.number, name=container.name, id=container.id
            )
            networks = (self.networks.get(endpoint.network, 0) for endpoint in service.networks)
            self.result.add(operation, f"stopped by #{stop}", stop, *networks, *self._conditions(service))

    def _service(self, service: Service) -> None:
        existing = self.observed.of_service(service.name)
        keep, surplus = self._choose(service, existing)
        # A replacement that was cut off has left two of one number, which need the same: one goes first.
        removed = {c.id: self._remove(c, "scaled down") for c in surplus}
        numbers = {c.number for c in keep}
        resources = [
            *self.gone,
            *(removed[c.id] for c in surplus if c.half_way or c.number in numbers),
            *(self.networks.get(endpoint.network, 0) for endpoint in service.networks),
            *(self.volumes.get(volume.source, 0) for volume in service.volumes if volume.kind == "volume"),
            *(number for other in joined_services(service) for number in self.created.get(other, ())),
        ]
        starts: list[int] = []
        free = iter(n for n in range(1, service.replicas + len(existing) + 1) if n not in numbers)
        for container in keep:
            cause = self._must_recreate(service, container)
            if cause:
                starts += self._replace(service, container, cause, resources)
            elif self.options.start and not container.running:
                operation = StartContainer(
                    service=service.name, number=container.number, name=container.name, id=container.id
                )
                starts.append(
                    self.result.add(
                        operation, container.state.status.value, *resources, *self._conditions(service)
                    )
                )
        for _ in range(service.replicas - len(keep)):
            number = next(free)
            starts += self._create(service, number, resources)
        self.started[service.name] = starts

    def _choose(
        self, service: Service, existing: list[ObservedContainer]
    ) -> tuple[list[ObservedContainer], list[ObservedContainer]]:
        """Split into those to keep and those too many; up-to-date, running and low-numbered ones are kept first."""
        ranked = sorted(
            existing,
            key=lambda c: (
                c.half_way and c.replaces in {other.id for other in existing},
                bool(self._must_recreate(service, c)),
                not c.running,
                c.number,
                c.config.created_ns,
            ),
        )
        kept: list[ObservedContainer] = []
        numbers: set[int] = set()
        for container in ranked:
            if len(kept) < service.replicas and container.number not in numbers:
                kept.append(container)
                numbers.add(container.number)
        surplus = [container for container in existing if container not in kept]
        return sorted(kept, key=lambda c: c.number), sorted(surplus, key=lambda c: -c.number)

    def _must_recreate(self, service: Service, container: ObservedContainer) -> str:
        """Return why the container has to be replaced, or ""."""
        named = not self.options.named or service.name in self.options.named
        policy = self.options.recreate if named else self.options.recreate_dependencies
        if policy is Recreate.NEVER:
            return ""
        if policy is Recreate.FORCE and (self.options.forced is None or container.id in self.options.forced):
            return "recreation was asked for"
        if container.config_hash != service.hash:
            return "configuration changed"
        image = self.options.images.get(service.name)
        if image and container.config.image_id and container.config.image_id != image:
            return "image changed"
        for endpoint in service.networks:
            if endpoint.network in self.networks and endpoint.network not in self.remade:
                return f"network {self.project.networks[endpoint.network].name} is new"
        for volume in service.volumes:
            if volume.kind == "volume" and volume.source in self.volumes:
                return f"volume {self.project.volumes[volume.source].name} is new"
        for other in joined_services(service):
            if other in self.recreated:
                return f"{other}, whose namespace or volumes it shares, is recreated"
        return ""

    def _replace(
        self, service: Service, old: ObservedContainer, cause: str, resources: list[int]
    ) -> list[int]:
        self.recreated.add(service.name)
        if self._starts_first(service, old):
            return self._replace_beside(service, old, cause, resources)
        create = self.result.add(
            CreateContainer(
                service=service.name,
                number=old.number,
                name=container_name(self.project, service, old.number),
                replaces=old.id,
                renew_volumes=self.options.renew_volumes,
            ),
            cause,
            *resources,
        )
        self.created.setdefault(service.name, []).append(create)
        last = create
        if old.running:
            last = self._stop(
                old, f"replaced by #{create}", create, *self._stop_dependants(service.name, create)
            )
        remove = RemoveContainer(id=old.id, name=old.name, service=service.name, replaced=True)
        last = self.result.add(remove, f"replaced by #{create}", create, last)
        return self._start(service, old.number, last)

    def _starts_first(self, service: Service, old: ObservedContainer) -> bool:
        """Tell whether the new container is to run before the old one stops, and can: not with the same address."""
        return (
            service.update_order == "start-first"
            and self.options.start
            and old.running
            and old.id not in self.stopped
            and not service.mac_address
            and not any(e.ipv4_address or e.ipv6_address or e.mac_address for e in service.networks)
        )

    def _replace_beside(
        self, service: Service, old: ObservedContainer, cause: str, resources: list[int]
    ) -> list[int]:
        """Replace a running container by one that starts first (takeover.py)."""
        name = container_name(self.project, service, old.number)
        create = self.result.add(
            CreateContainer(
                service=service.name,
                number=old.number,
                name=name,
                replaces=old.id,
                beside=f"{old.id[:12]}_{name}",
                renew_volumes=self.options.renew_volumes,
            ),
            cause,
            *resources,
        )
        self.created.setdefault(service.name, []).append(create)
        start = self._start(service, old.number, create)
        stop = self._stop(
            old, f"replaced by #{create}", *start, *self._stop_dependants(service.name, start[0])
        )
        remove = self.result.add(
            RemoveContainer(id=old.id, name=old.name, service=service.name, replaced=True),
            f"replaced by #{create}",
            stop,
        )
        rename = RenameContainer(service=service.name, number=old.number, name=name)
        return [self.result.add(rename, f"replaced #{remove}", remove)]

    def _create(self, service: Service, number: int, resources: list[int]) -> list[int]:
        name = container_name(self.project, service, number)
        operation = CreateContainer(service=service.name, number=number, name=name)
        create = self.result.add(operation, "no existing container", *resources)
        self.created.setdefault(service.name, []).append(create)
        return self._start(service, number, create)

    def _start(self, service: Service, number: int, after: int) -> list[int]:
        if not self.options.start:
            return []
        name = container_name(self.project, service, number)
        operation = StartContainer(service=service.name, number=number, name=name)
        return [self.result.add(operation, f"created by #{after}", after, *self._conditions(service))]

    def _conditions(self, service: Service) -> list[int]:
        """Return the nodes that a start of the service waits for."""
        if not self.options.wait_for_dependencies:
            return []
        nodes: list[int] = []
        for dependency in service.depends_on:
            target = self.project.services.get(dependency.service)
            if target is None or dependency.service not in self.options.services:
                continue
            starts = self.started.get(dependency.service, [])
            if dependency.condition is Condition.STARTED and not dependency.required:
                continue
            if dependency.condition is Condition.STARTED:
                nodes += starts
                continue
            nodes.append(self._wait(dependency, starts))
        return nodes

    def _wait(self, dependency: Dependency, starts: list[int]) -> int:
        key = (dependency.service, dependency.condition, dependency.required)
        if key not in self.waits:
            operation = AwaitService(
                service=dependency.service, condition=dependency.condition, required=dependency.required
            )
            self.waits[key] = self.result.add(operation, "a dependant needs it", *starts)
        return self.waits[key]

    def _remove(self, container: ObservedContainer, cause: str) -> int:
        last = 0
        if container.running:
            stop = StopContainer(
                id=container.id,
                name=container.name,
                service=container.service,
                timeout_s=self.options.timeout_s,
            )
            last = self.result.add(stop, cause)
        remove = RemoveContainer(id=container.id, name=container.name, service=container.service)
        return self.result.add(remove, cause, last)


def orphans(project: Project, observed: Observed) -> list[ObservedContainer]:
    """Return the containers whose service the project no longer has (disabled ones count as had)."""
    known = {*project.services, *project.disabled_services}
    return [item for item in observed.containers if item.service not in known and not item.oneoff]
