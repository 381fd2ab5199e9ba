"""What running containers have of the network, and what follows from it: where their published ports lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.networking.model import ANY4, ANY6, ROUTED, OpenPort
from pycompose.supervisor.network.published_ports import target_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.model import Port
    from pycompose.networking.model import EndpointSpec, NetworkState, PublishedPort
    from pycompose.networking.ports.reserve import Reservation
    from pycompose.policy.observed import EndpointRecord, PortBinding
    from pycompose.state.records import ServiceRecord


@dataclass(slots=True)
class AttachedContainer:
    """A container on its networks: its addresses, its host ports, whether its names are answered, names of its own.

    `specs` are what its places on the networks can be made of again, `opened` its ports on a routed network, `idle`
    sentences about those of its `ports:` that are nowhere.

    A replacement on `standby` has addresses, and neither ports nor names until it takes over.
    """

    endpoints: tuple[EndpointRecord, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    reservations: list[Reservation] = field(default_factory=list)
    named: bool = False
    standby: bool = False
    links: dict[str, str] = field(default_factory=dict)
    specs: tuple[EndpointSpec, ...] = ()
    opened: tuple[OpenPort, ...] = ()
    idle: tuple[str, ...] = ()


def published_endpoint(
    container: AttachedContainer, networks: Mapping[str, NetworkState]
) -> EndpointRecord | None:
    """Return the endpoint that published ports lead to: the first that we are the way out of, with IPv4 if one has."""
    outward = [
        endpoint
        for endpoint in container.endpoints
        if (state := networks.get(endpoint.network)) is None or state.routed_out
    ]
    return next((endpoint for endpoint in outward if endpoint.ip), next(iter(outward), None))


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


def published_families(endpoint: EndpointRecord, network: NetworkState) -> frozenset[int]:
    """Return the address families in which host ports lead to a container: where its own address isn't routed.

    A family that it lacks leads to its other address.
    """
    leads_to = {4: 4 if endpoint.ip else 6, 6: 6 if endpoint.ip6 else 4}
    return frozenset(
        version for version, other in leads_to.items() if network.gateway_mode_of(other) != ROUTED
    )


def open_ports(
    ports: Iterable[Port], endpoint: EndpointRecord, network: NetworkState
) -> tuple[OpenPort, ...]:
    """Return the ports of a routed network, which are reached at the container's own addresses, not at host ports.

    A port that is for one address of the machine is nowhere then.
    """
    places = ((4, ANY4, endpoint.ip), (6, ANY6, endpoint.ip6))
    return tuple(
        OpenPort(container_ip=address, protocol=port.protocol, container_port=port.target)
        for version, everywhere, address in places
        if address and network.gateway_mode_of(version) == ROUTED
        for port in ports
        if port.host_ip in ("", everywhere)
    )


def idle_ports(
    record: ServiceRecord, endpoint: EndpointRecord | None, network: NetworkState | None
) -> tuple[str, ...]:
    """Return a sentence for each port of a service that is nowhere, which its compose file alone couldn't tell."""
    service = record.service
    if endpoint is None or network is None:
        if not any(one.external for one in record.networks.values()):
            return ()  # said by its file, with the line (config/unsupported.py)
        return (f"service {service.name}: ports: has no effect: its networks have no way in from outside",)
    families = published_families(endpoint, network)
    return tuple(
        f"service {service.name}: ports: {_written(port)} has no effect: network "
        f"{network.name} is routed, its containers are reached at their own addresses"
        for port in service.ports
        if port.host_ip not in ("", ANY4, ANY6) and (6 if ":" in port.host_ip else 4) not in families
    )


def _written(port: Port) -> str:
    first, last = port.published or ("", "")
    return f"{port.host_ip}:{first if first == last else f'{first}-{last}'}:{port.target}"


def hand_over(old: AttachedContainer, new: AttachedContainer) -> None:
    """Take from `old` the ports that `new` has reservations of, and answer its names with `new`."""
    old.reservations = [item for item in old.reservations if item not in new.reservations]
    moved = {(item.host_port, item.protocol) for item in new.reservations}
    old.opened = ()
    old.ports = tuple(port for port in old.ports if (port.host_port, port.protocol) not in moved)
    new.standby, new.named, old.named = False, True, False
