"""The networks of a container in the shape of Docker's API, a part of what `inspect` shows of it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from pycompose.engine.digests import sha256
from pycompose.machine.predefined_networks import with_predefined
from pycompose.networking.api import Networking
from pycompose.networking.model import DEFAULT_BRIDGE
from pycompose.policy.observed import EndpointRecord
from pycompose.state.links import links_of, sets_variables
from pycompose.state.memory import FolderMemory
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.model import Endpoint
    from pycompose.networking.model import NetworkState
    from pycompose.policy.observed import ObservedContainer
    from pycompose.state.records import ServiceRecord

# What only the entry of a network has.
_OF_ENDPOINTS = frozenset({"Aliases", "DNSNames", "DriverOpts", "IPAMConfig", "Links", "NetworkID"})

Json = dict[str, Any]


# What Docker still has of times when a container was on one network, always like this.
_OF_OLD_ENGINES: Json = {
    "Bridge": "",
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
}


def network_settings(context: Context, found: ObservedContainer, record: ServiceRecord) -> Json:
    """Return what Docker shows as NetworkSettings of a container: ports, and its place on each of its networks."""
    running = found.running
    ports: dict[str, list[Json] | None] = dict.fromkeys(found.runtime.exposed)
    for port in found.runtime.ports if running else ():
        key = f"{port.target}/{port.protocol}"
        entry = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        ports[key] = [*(ports.get(key) or []), entry]
    endpoints = {e.network: e for e in found.runtime.endpoints} if running else {}
    networks = {}
    links = [] if sets_variables(record) else links_of(context.paths, found.config.project, record)
    with_state = network_states(context)
    # Compose asks for both names by itself; of what else is made only those are shown that somebody has asked for.
    own = () if found.config.project == STANDALONE else (found.name, record.service.name)
    for endpoint in record.service.networks:
        name = record.networks[endpoint.network].name
        networks[name] = shown_endpoint(
            endpoints.get(name),
            with_state.get(name),
            (*own, *endpoint.aliases),
            container_id=found.id,
            asked=endpoint,
        )
        known = [f"{other}:{alias}" for other, alias in (*links, *endpoint.links)]
        networks[name]["Links"] = list(dict.fromkeys(known)) or None
    if record.service.network_mode in ("host", "none"):
        name = record.service.network_mode
        live = EndpointRecord(network=name) if running else None
        networks[name] = shown_endpoint(live, with_state[name], (), container_id=found.id)
    # Docker repeats the endpoint of its default network here; scripts ask for .NetworkSettings.IPAddress.
    default = networks.get(DEFAULT_BRIDGE) or shown_endpoint(None, None, ())
    return {
        **{key: value for key, value in default.items() if key not in _OF_ENDPOINTS},
        **_OF_OLD_ENGINES,
        "SandboxID": found.id,
        "SandboxKey": str(context.paths.netns(found.id)) if running else "",
        "Ports": ports if running else {},
        "Networks": networks,
    }


def network_states(context: Context) -> dict[str, NetworkState]:
    """Return the networks of the machine by name, those that are always there included."""
    folder = str(context.paths.networks)
    return _states.value(folder, (folder,), lambda: _network_states(context))


_states: FolderMemory[dict[str, NetworkState]] = FolderMemory()


def _network_states(context: Context) -> dict[str, NetworkState]:
    networking = Networking(context.paths)
    try:
        states = with_predefined(context.paths, networking.list_networks())
        return {state.name: state for state in states}
    finally:
        networking.close()


def endpoint_id(container_id: str, network_id: str) -> str:
    """Return the id of a container's place on a network: the same one as long as there are both."""
    return sha256(f"{container_id} {network_id}".encode()).hexdigest()


def shown_endpoint(
    live: EndpointRecord | None,
    state: NetworkState | None,
    aliases: Iterable[str] = (),
    *,
    container_id: str = "",
    asked: Endpoint | None = None,
) -> Json:
    """Return a container's place on a network: with addresses while it is `live` there."""
    now = live or EndpointRecord(network="")
    return {
        "IPAMConfig": _asked(asked) if asked else None,
        "Links": None,
        "DriverOpts": asked.driver_opts or None if asked else None,
        "Aliases": list(dict.fromkeys(aliases)) or None,
        "MacAddress": now.mac,
        "NetworkID": state.id if state else "",
        "EndpointID": endpoint_id(container_id, state.id) if state and live else "",
        "Gateway": state.gateway if state and live else "",
        "IPAddress": now.ip,
        "IPPrefixLen": prefix_length(state.subnet) if state and now.ip else 0,
        "IPv6Gateway": state.gateway6 if state and now.ip6 else "",
        "GlobalIPv6Address": now.ip6,
        "GlobalIPv6PrefixLen": prefix_length(state.subnet6) if state and now.ip6 else 0,
        "DNSNames": list(now.names),
    }


def _asked(endpoint: Endpoint) -> Json | None:
    """Return the addresses that the container was to have, None where it could have any."""
    found = {
        "IPv4Address": endpoint.ipv4_address,
        "IPv6Address": endpoint.ipv6_address,
        "LinkLocalIPs": list(endpoint.link_local_ips),
    }
    return {key: value for key, value in found.items() if value} or None


def prefix_length(subnet: str) -> int:
    """Return the length of a subnet's prefix, 0 for ""."""
    return ipaddress.ip_network(subnet).prefixlen if subnet else 0
