"""What a container asks of a network: its names, its addresses, and the lease that they are kept under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.networking.model import EndpointSpec

if TYPE_CHECKING:
    from pycompose.engine.config import ContainerConfig
    from pycompose.model import Endpoint
    from pycompose.state.records import ServiceRecord


def endpoint_spec(config: ContainerConfig, record: ServiceRecord, endpoint: Endpoint) -> EndpointSpec:
    """Return how a container wants to be on one of its service's networks; one-offs have leases of their own."""
    service = record.service
    names = [config.name, *endpoint.aliases, config.id[:12]]
    if not record.oneoff:
        names.insert(1, service.name)
    if config.hostname:
        names.append(config.hostname)
    key = f"{config.project}/{service.name}/{record.number}{record.lease}"
    mac = endpoint.mac_address or (service.mac_address if endpoint is service.networks[0] else "")
    return EndpointSpec(
        network=record.networks[endpoint.network].name,
        lease_key=f"{key}/{config.id[:12]}" if record.oneoff else key,
        aliases=tuple(dict.fromkeys(names)),
        ipv4_address=endpoint.ipv4_address,
        ipv6_address=endpoint.ipv6_address,
        mac_address=mac,
        interface_name=endpoint.interface_name,
        priority=endpoint.priority,
        gw_priority=endpoint.gw_priority,
    )


def links(record: ServiceRecord) -> dict[str, str]:
    """Return alias → name of `links:` and `external_links:`."""
    service = record.service
    return {alias: name for name, alias in (*service.links, *service.external_links)}
