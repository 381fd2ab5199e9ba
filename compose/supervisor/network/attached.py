"""What running containers have of the network, and what follows from it: where their published ports lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.supervisor.network.published_ports import target_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.networking.model import NetworkState, PublishedPort
    from pycompose.networking.ports.reserve import Reservation
    from pycompose.policy.observed import EndpointRecord, PortBinding


@dataclass(slots=True)
class AttachedContainer:
    """A container on its networks: its addresses, its host ports, whether its names are answered, names of its own.

    A replacement on `standby` has addresses, and neither ports nor names until it takes over.
    """

    endpoints: tuple[EndpointRecord, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    reservations: list[Reservation] = field(default_factory=list)
    named: bool = False
    standby: bool = False
    links: dict[str, str] = field(default_factory=dict)


def published_endpoint(
    container: AttachedContainer, networks: Mapping[str, NetworkState]
) -> EndpointRecord | None:
    """Return the endpoint that published ports lead to: the first one with IPv4 that has a way out."""
    for endpoint in container.endpoints:
        state = networks.get(endpoint.network)
        if endpoint.ip and not (state is not None and state.internal):
            return endpoint
    return None


def forwarded_ports(
    containers: Iterable[AttachedContainer], networks: Mapping[str, NetworkState]
) -> list[PublishedPort]:
    """Return the host ports that the firewall hands to containers."""
    found: list[PublishedPort] = []
    for container in containers:
        endpoint = published_endpoint(container, networks)
        for reservation in container.reservations if endpoint is not None else ():
            port = target_port(reservation, container.ports)
            if endpoint is not None and port:
                found += reservation.published(endpoint.ip, endpoint.ip6, port)
    return found


def hand_over(old: AttachedContainer, new: AttachedContainer) -> None:
    """Take from `old` the ports that `new` has reservations of, and answer its names with `new`."""
    old.reservations = [item for item in old.reservations if item not in new.reservations]
    moved = {(item.host_port, item.protocol) for item in new.reservations}
    old.ports = tuple(port for port in old.ports if (port.host_port, port.protocol) not in moved)
    new.standby, new.named, old.named = False, True, False
