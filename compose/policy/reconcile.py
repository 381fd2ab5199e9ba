"""Desired and observed in, a plan out: pure, so that every decision can be read as text and tested as data.

The rules are Docker Compose's (docker/compose pkg/compose, `reconcile`): recreate when the configuration hash, the
image, a network, a volume or the container whose namespace is shared has changed, or somebody has taken it off a
network; start what is merely stopped; leave the rest alone. A replacement is created before the old container is
stopped, so that bad input loses nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import VolumeInUse
from pycompose.engine.state import Status
from pycompose.model import DEFAULT_BRIDGE
from pycompose.policy.observed import orphans
from pycompose.policy.options import Recreate
from pycompose.policy.plan import (
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KeepContainer,
    Plan,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StartFirst,
    StopContainer,
    touched,
)
from pycompose.policy.replicas import can_start_first, choose, container_name, diverged
from pycompose.policy.resources import changed, networks_of, renamed, volumes_of
from pycompose.policy.sharing import joined_services
from pycompose.policy.startup import Startup, check_not_paused, start_existing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.model import Network, Project, Service, Volume
    from pycompose.policy.observed import Observed, ObservedContainer
    from pycompose.policy.options import ReconcileOptions


def reconcile(project: Project, observed: Observed, options: ReconcileOptions) -> Plan:
    """Return the plan that makes `observed` what `project` says, for the services in scope.

    Raises VolumeInUse for a volume whose data may be lost, but which containers of other projects use, and StateError
    for a container that is to run and is paused.
    """
    plan = Plan()
    startup = Startup(plan, project, scope=options.services, hooks_done=observed.hooks_done)
    return _Planner(project, observed, options, plan, startup).plan()


@dataclass(slots=True)
class _Planner:
    """`networks` and `volumes` map the keys of those that are made → their nodes; `remade` had been there before.

    `created` maps service → the nodes that create its containers, `stopped` container id → the node that stops it.
    `gone` are the nodes after which the orphans' ports and names are free.
    """

    project: Project
    observed: Observed
    options: ReconcileOptions
    result: Plan
    startup: Startup
    networks: dict[str, int] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
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
        self._networks(services)
        self._volumes(services)
        for service in services:
            self._service(service)
        self._start_again()
        if self.options.start:
            for service in services:
                # Who runs already waits, too: a dependency that has failed is a failure.
                if service.replicas:
                    self.startup.conditions(service)
        return self.result

    def _remove_orphans(self) -> list[int]:
        """Remove what the project doesn't know; the new ones wait for it: they may have its ports and names."""
        found = [
            self._remove(orphan, "orphan: no such service in the project")
            for orphan in orphans(self.project, self.observed)
        ]
        for container in self.observed.containers:
            if container.oneoff and not container.running and not container.hook:
                self._remove(container, "a one-off that has ended")
        return found

    # ------------------------------------------------------------------ networks and volumes

    def _networks(self, services: Iterable[Service]) -> None:
        """Make the networks that aren't there, and anew those that aren't what the file says, or had another name."""
        for key in sorted(self.project.networks if self.options.all_resources else networks_of(services)):
            network = self.project.networks[key]
            there = self.observed.networks.get(network.name)
            if network.name == DEFAULT_BRIDGE:
                continue  # the machine's, and made by whoever starts first
            old = renamed(self.project, network, self.observed) if there is None else ""
            if old:
                self.networks[key] = self._replace_network(network, old)
            elif there is None:
                cause = "external" if network.external else "not found"
                self.networks[key] = self.result.add(CreateNetwork(key=key, name=network.name), cause)
            elif there.project == self.observed.project and changed(network, there):
                self.networks[key] = self._replace_network(network, network.name)

    def _volumes(self, services: Iterable[Service]) -> None:
        """Make the volumes that aren't there, and anew those that have changed and whose data may be lost."""
        for key in sorted(self.project.volumes if self.options.all_resources else volumes_of(services)):
            volume = self.project.volumes[key]
            there = self.observed.volumes.get(volume.name)
            if there is None:
                cause = "external" if volume.external else "not found"
                self.volumes[key] = self.result.add(CreateVolume(key=key, name=volume.name), cause)
            elif changed(volume, there) and key in self.options.expendable:
                self.volumes[key] = self._replace_volume(volume)

    def _replace_network(self, network: Network, old: str) -> int:
        """Make a network anew that is called `old`; everybody on it has to leave it first, and is started afterwards.

        One that gets another name may stay, if others are on it.
        """
        self.remade.add(network.key)
        moves = old != network.name
        changes = f"network {old} " + (f"becomes {network.name}" if moves else "changed")
        stops = self._stop_users(network.key, networks_of, changes)
        cause = f"becomes {network.name}" if moves else "configuration changed"
        remove = self.result.add(RemoveNetwork(name=old, optional=moves), cause, *stops, *self.gone)
        return self.result.add(
            CreateNetwork(key=network.key, name=network.name), f"replaces #{remove}", remove
        )

    def _replace_volume(self, volume: Volume) -> int:
        """Make a volume anew, without its data; who uses it is stopped before and recreated afterwards."""
        if users_elsewhere := self.observed.strangers.get(volume.name):
            raise VolumeInUse(
                f"volume {volume.name}: in use by {', '.join(users_elsewhere)}",
                hint="remove the containers first",
            )
        stops = self._stop_users(volume.key, volumes_of, f"volume {volume.name} changed")
        remove = self.result.add(RemoveVolume(name=volume.name), "configuration changed", *stops, *self.gone)
        create = CreateVolume(key=volume.key, name=volume.name)
        return self.result.add(create, f"replaces #{remove}", remove)

    def _stop_users(self, key: str, used: Callable[[Iterable[Service]], set[str]], cause: str) -> list[int]:
        """Stop what runs of the services that are said to use a network or volume, or were when they were made."""
        return [
            self._stop(container, cause)
            for service in self.project.services.values()
            for container in self.observed.of_service(service.name)
            if container.running and key in used([service, container.definition or service])
        ]

    # ------------------------------------------------------------------ stopping for the sake of others

    def _stop(self, container: ObservedContainer, cause: str, *after: int, replaced: bool = False) -> int:
        """Add the stop of a container, once."""
        if container.id not in self.stopped:
            operation = StopContainer(
                id=container.id,
                name=container.name,
                service=container.service,
                timeout_s=self.options.timeout_s,
                replaced=replaced,
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
        """Start what was stopped for the sake of others, isn't in scope, and so has not been started or replaced."""
        settled = {
            touched(node.operation)
            for node in self.result.nodes
            if isinstance(node.operation, RemoveContainer | StartContainer | StartFirst)
        }
        for container in self.observed.containers:
            stop = self.stopped.get(container.id)
            service = self.project.services.get(container.service)
            if stop is None or service is None or container.id in settled or not self.options.start:
                continue
            networks = (self.networks.get(endpoint.network, 0) for endpoint in service.networks)
            self._start_existing(service, container, f"stopped by #{stop}", stop, *networks)

    # ------------------------------------------------------------------ containers

    def _service(self, service: Service) -> None:
        existing = self.observed.of_service(service.name)
        keep, surplus = choose(existing, service.replicas, lambda c: self._must_recreate(service, c))
        # A replacement that was cut off has left two of one number, which need the same: one goes first.
        removed = {c.id: self._remove(c, "scaled down") for c in surplus}
        numbers = {c.number for c in keep}
        resources = [
            *self.gone,
            *self._remove_kept_hooks(service),
            *(removed[c.id] for c in surplus if c.half_way or c.number in numbers),
            *(self.networks.get(endpoint.network, 0) for endpoint in service.networks),
            *(self.volumes.get(volume.source, 0) for volume in service.volumes if volume.kind == "volume"),
            *(
                number
                for other in joined_services(self.project, service)
                for number in self.created.get(other, ())
            ),
        ]
        starts: list[int] = []
        names = {container.number: container.name for container in keep}
        for container in keep:
            cause = self._must_recreate(service, container)
            if cause:
                names[container.number] = container_name(self.project, service, container.number)
                starts += self._replace(service, container, cause, resources)
            elif self.options.start:
                starts += self._revive(service, container, resources)
        free = (n for n in range(1, service.replicas + len(existing) + 1) if n not in numbers)
        for number in islice(free, service.replicas - len(keep)):
            names[number] = container_name(self.project, service, number)
            starts += self._create(service, number, resources)
        self.startup.started[service.name] = starts
        self.startup.names[service.name] = tuple(names[number] for number in sorted(names))

    def _remove_kept_hooks(self, service: Service) -> list[int]:
        """Remove the init containers that have failed and were kept to be looked at."""
        return [
            self._remove(container, "an init container that has failed")
            for container in self.observed.containers
            if container.hook and container.service == service.name
        ]

    def _must_recreate(self, service: Service, container: ObservedContainer) -> str:
        """Return why the container has to be replaced, or ""."""
        named = not self.options.named or service.name in self.options.named
        policy = self.options.recreate if named else self.options.recreate_dependencies
        if policy is Recreate.NEVER:
            return ""
        if policy is Recreate.FORCE and (self.options.forced is None or container.id in self.options.forced):
            return "recreation was asked for"
        cause = diverged(service, container, self.options.images.get(service.name, ""))
        if cause:
            return cause
        for endpoint in service.networks:
            if endpoint.network in self.networks and endpoint.network not in self.remade:
                return f"network {self.project.networks[endpoint.network].name} is new"
        for volume in service.volumes:
            if volume.kind == "volume" and volume.source in self.volumes:
                return f"volume {self.project.volumes[volume.source].name} is new"
        for other in joined_services(self.project, service):
            if other in self.recreated:
                return f"{other}, whose namespace or volumes it shares, is recreated"
        return self._cut_off(service, container)

    def _cut_off(self, service: Service, container: ObservedContainer) -> str:
        """Return what a container that runs has lost since it was started, or ""."""
        if container.state.status is not Status.RUNNING:
            return ""
        there = {other.id for other in self.observed.containers}
        namespaces = container.config.namespaces
        for mode in (namespaces.network, namespaces.pid, namespaces.ipc):
            kind, _, other = mode.partition(":")
            if kind == "container" and other not in there and joined_services(self.project, service):
                return "the container whose namespace it shares is gone"
        connected = {endpoint.network for endpoint in container.runtime.endpoints}
        for endpoint in service.networks:
            name = self.project.networks[endpoint.network].name
            if name not in connected and endpoint.network not in self.networks:
                return f"it was taken off network {name}"
        return ""

    def _revive(self, service: Service, container: ObservedContainer, resources: list[int]) -> list[int]:
        """Have a container run that stays what it is; return the node of its start, if it takes one."""
        if not container.running:
            return [self._start_existing(service, container, container.state.status.value, *resources)]
        if container.id in self.stopped:
            stop = self.stopped[container.id]
            return [self._start_existing(service, container, f"stopped by #{stop}", stop, *resources)]
        check_not_paused(container)
        if container.stopping:
            stop = self._stop(container, "its stop was cut off")
            return [self._start_existing(service, container, f"stopped by #{stop}", stop, *resources)]
        if container.stopped:
            self.result.add(KeepContainer(id=container.id, name=container.name), "wanted again")
        return []

    def _start_existing(self, service: Service, container: ObservedContainer, cause: str, *after: int) -> int:
        hooks_of = None if container.runs else container.definition or service
        return self.startup.add(service, start_existing(container), cause, *after, hooks_of=hooks_of)

    def _replace(
        self, service: Service, old: ObservedContainer, cause: str, resources: list[int]
    ) -> list[int]:
        self.recreated.add(service.name)
        if self.options.start and old.id not in self.stopped and can_start_first(service, old):
            return self._replace_beside(service, old, cause, resources)
        name = container_name(self.project, service, old.number)
        create = self.result.add(
            CreateContainer(
                service=service.name,
                number=old.number,
                name=name,
                replaces=old.id,
                renew_volumes=self.options.renew_volumes,
            ),
            cause,
            *resources,
        )
        self.created.setdefault(service.name, []).append(create)
        last = create
        if old.running:
            dependants = self._stop_dependants(service.name, create)
            last = self._stop(old, f"replaced by #{create}", create, *dependants, replaced=True)
        remove = RemoveContainer(id=old.id, name=old.name, service=service.name, replaced=True)
        last = self.result.add(remove, f"replaced by #{create}", create, last)
        return self._start(service, old.number, last)

    def _replace_beside(
        self, service: Service, old: ObservedContainer, cause: str, resources: list[int]
    ) -> list[int]:
        """Replace a running container by one that starts first (lifecycle/start_first.py)."""
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
        operation = StartFirst(service=service.name, number=old.number, name=name)
        start = self.startup.add(service, operation, f"created by #{create}", create, hooks_of=service)
        dependants = self._stop_dependants(service.name, start)
        stop = self._stop(old, f"replaced by #{create}", start, *dependants, replaced=True)
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
        return [self.startup.add(service, operation, f"created by #{after}", after, hooks_of=service)]

    def _remove(self, container: ObservedContainer, cause: str) -> int:
        last = self._stop(container, cause) if container.running else 0
        remove = RemoveContainer(id=container.id, name=container.name, service=container.service)
        return self.result.add(remove, cause, last)
