"""What a container asks of a network: its names, its addresses, and the lease that they are kept under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.networking.model import DEFAULT_BRIDGE, EndpointSpec
from pycompose.networking.settings import ENDPOINT_INTERFACE, ENDPOINT_SYSCTLS, interface_sysctls
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from pycompose.engine.config import ContainerConfig
    from pycompose.model import Endpoint
    from pycompose.state.records import ServiceRecord


def endpoint_specs(config: ContainerConfig, record: ServiceRecord) -> tuple[EndpointSpec, ...]:
    """Return how a container wants to be on all of its service's networks."""
    return tuple(endpoint_spec(config, record, endpoint) for endpoint in record.service.networks)


def endpoint_spec(config: ContainerConfig, record: ServiceRecord, endpoint: Endpoint) -> EndpointSpec:
    """Return how a container wants to be on one of its service's networks; one-offs have leases of their own."""
    service = record.service
    names = [config.name, *endpoint.aliases, config.id[:12]]
    if _on_default_bridge(config.project, record, endpoint):
        names = [_linked(config.project, service.name)]
    elif not (record.oneoff or service.network_mode):
        names.insert(1, service.name)
    if config.hostname:
        names.append(config.hostname)
    key = f"{config.project}/{service.name}/{record.number}{record.lease}"
    mac = endpoint.mac_address or (service.mac_address if endpoint is service.networks[0] else "")
    network = record.networks[endpoint.network]
    sysctls = endpoint.driver_opts.get(ENDPOINT_SYSCTLS, "")
    return EndpointSpec(
        network=network.name,
        lease_key=f"{key}/{config.id[:12]}" if record.oneoff else key,
        aliases=tuple(dict.fromkeys(names)),
        ipv4_address=endpoint.ipv4_address,
        ipv6_address=endpoint.ipv6_address if network.external or network.enable_ipv6 else "",
        link_local_ips=endpoint.link_local_ips,
        mac_address=mac,
        interface_name=endpoint.interface_name or endpoint.driver_opts.get(ENDPOINT_INTERFACE, ""),
        sysctls=interface_sysctls(sysctls) if sysctls else {},
        priority=endpoint.priority,
        gw_priority=endpoint.gw_priority,
    )


def links(project: str, record: ServiceRecord) -> dict[str, str]:
    """Return alias → name of `links:` and `external_links:`, and of those that are for one network."""
    service = record.service
    found = {alias: name for endpoint in service.networks for name, alias in endpoint.links}
    found |= {alias: name for name, alias in service.external_links}
    on_bridge = any(_on_default_bridge(project, record, endpoint) for endpoint in service.networks)
    return found | {alias: _linked(project, name) if on_bridge else name for name, alias in service.links}


def _on_default_bridge(project: str, record: ServiceRecord, endpoint: Endpoint) -> bool:
    """Tell whether strangers are on the network, who are to know no names; those without a project know each other."""
    return project != STANDALONE and record.networks[endpoint.network].name == DEFAULT_BRIDGE


def _linked(project: str, service: str) -> str:
    """Return what a service is called on the network of all projects, where only links lead to it."""
    return f"{project}/{service}"
