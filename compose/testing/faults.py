"""Faults of a stack's network: slow, lossy, narrow, cut in two; undone one by one, all at once, or with the stack.

A fault is on from the call on; as a context manager it is undone at the end of the block. It ends, too, when its
container is stopped: the next run has a new network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.errors import unknown_service
from pycompose.networking import faults as network
from pycompose.networking.api import Networking
from pycompose.state.snapshot import observe_containers
from pycompose.testing.undo import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.policy.observed import ObservedContainer
    from pycompose.testing.protocols import StackAccess


class NetworkFaults:
    """All that is wrong with the networks of one stack, by container."""

    def __init__(self, stack: StackAccess) -> None:
        self._stack = stack
        self._layers: dict[str, list[network.Faults]] = {}

    def add(self, service: str, **what: Any) -> Fault:
        """Add a fault (the fields of networking.faults.Faults) to all containers of a service. Raises NetworkError."""
        return self._add(
            {container.id: network.Faults(**what) for container in self._running(service)}, service
        )

    def partition(self, left: Iterable[str], right: Iterable[str]) -> Fault:
        """Let nothing through between two groups of services. Raises NetworkError."""
        sides = [
            [container for service in services for container in self._running(service)]
            for services in (left, right)
        ]
        added = {}
        for own, others in (sides, sides[::-1]):
            deaf_to = frozenset(
                ip for other in others for e in other.runtime.endpoints for ip in (e.ip, e.ip6) if ip
            )
            for container in own:
                added[container.id] = network.Faults(deaf_to=deaf_to)
        return self._add(added, " | ".join(container.service for side in sides for container in side))

    def only_the_others(self, service: str) -> Fault:
        """Let a service hear what runs now and this machine, none that come later. Raises NetworkError."""
        found, _ = observe_containers(self._stack.context.paths, self._stack.name)
        near = {ip for c in found for e in c.runtime.endpoints for ip in (e.ip, e.ip6) if ip}
        near |= {gateway for _, gateways in self._networks() for gateway in gateways}
        what = network.Faults(only_from=frozenset(near))
        return self._add({container.id: what for container in self._running(service)}, service)

    def cut_off(self, services: Iterable[str]) -> Fault:
        """Let nothing in from outside the stack's networks, this machine included. Raises NetworkError."""
        subnets = {subnet for found, _ in self._networks() for subnet in found}
        hosts = {gateway for _, gateways in self._networks() for gateway in gateways}
        what = network.Faults(only_from=frozenset(subnets), deaf_to=frozenset(hosts))
        return self._add(
            {container.id: what for service in services for container in self._running(service)}, "cut off"
        )

    def _networks(self) -> list[tuple[list[str], list[str]]]:
        """Return of each network its subnets, and the addresses of its bridge, which are this machine's."""
        networking = Networking(self._stack.context.paths)
        try:
            states = networking.list_networks(self._stack.name)
        finally:
            networking.close()
        return [
            (
                [s for s in (state.subnet, state.subnet6) if s],
                [g for g in (state.gateway, state.gateway6) if g],
            )
            for state in states
        ]

    def _running(self, service: str) -> list[ObservedContainer]:
        if service not in self._stack.services:
            raise unknown_service(service, self._stack.services)
        found, _ = observe_containers(self._stack.context.paths, self._stack.name)
        own = [c for c in found if c.service == service and not c.oneoff and c.state.status is Status.RUNNING]
        if not own:
            raise PycomposeError(f"service {service}: no container runs that could have a fault")
        for container in own:
            if container.config.namespaces.network != "private" or not container.runtime.endpoints:
                raise PycomposeError(f"service {service}: has no network of its own that could be faulty")
        return own

    def _add(self, added: dict[str, network.Faults], what: str) -> Fault:
        for container_id, layer in added.items():
            self._layers.setdefault(container_id, []).append(layer)

        def undo() -> None:
            for container_id, layer in added.items():
                self._layers[container_id].remove(layer)
                self._apply(container_id)

        try:
            for container_id in added:
                self._apply(container_id)
        except PycomposeError as exc:
            undo()
            exc.message = f"{what}: {exc.message}"
            raise
        return Fault(undo)

    def _apply(self, container_id: str) -> None:
        pin = self._stack.context.paths.netns(container_id)
        if pin.exists():
            network.apply(pin, _sum(self._layers.get(container_id, ())))


def _sum(layers: Iterable[network.Faults]) -> network.Faults:
    """Return what several faults are together: delays add up, the narrowest rate counts."""
    whole = network.Faults()
    for layer in layers:
        rates = [rate for rate in (whole.bytes_per_s, layer.bytes_per_s) if rate]
        whole = replace(
            whole,
            delay_ns=whole.delay_ns + layer.delay_ns,
            jitter_ns=whole.jitter_ns + layer.jitter_ns,
            bytes_per_s=min(rates, default=0),
            loss=1 - (1 - whole.loss) * (1 - layer.loss),
            deaf_to=whole.deaf_to | layer.deaf_to,
            only_from=whole.only_from | layer.only_from,
        )
    return whole
