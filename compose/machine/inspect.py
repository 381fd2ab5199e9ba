"""`inspect`: containers, images, volumes and networks in the shape of Docker's API, which tools and tests read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.client import kept_networks
from pycompose.engine.errors import (
    InvalidReference,
    NetworkError,
    NoSuchContainer,
    NoSuchImage,
    PycomposeError,
    VolumeError,
)
from pycompose.machine import images, network_creation, networks
from pycompose.machine.inspect_container import Json, container, stamp
from pycompose.machine.inspect_endpoints import endpoint_id, prefix_length
from pycompose.machine.predefined_networks import users_of_modes
from pycompose.networking.model import BRIDGE_OPTION, DEFAULT_BRIDGE, DRIVER_OPTION
from pycompose.policy.observed import EndpointRecord
from pycompose.state.users import network_users
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.client.context import Context
    from pycompose.networking.model import NetworkState
    from pycompose.policy.observed import ObservedContainer


def inspect(context: Context, names: Sequence[str], kind: str = "", *, size: bool = False) -> list[Json]:
    """Return everything about containers, images, volumes or networks; `kind` "" looks for each in that order.

    `size` adds SizeRw to containers. Raises NoSuchContainer and its likes for the first that isn't there.
    """
    return [_one(context, name, kind, size=size) for name in names]


def _one(context: Context, name: str, kind: str, *, size: bool) -> Json:
    looks: dict[str, Callable[[], Json]] = {
        "container": lambda: container(context, name, size=size),
        "image": lambda: images.inspect(context, [name])[0],
        "volume": lambda: volume(context, name),
        "network": lambda: network(context, name),
    }
    if kind:
        return looks[kind]()
    for look in looks.values():
        try:
            return look()
        except (NoSuchContainer, NoSuchImage, InvalidReference, VolumeError, NetworkError):
            continue
    raise PycomposeError(f"no such object: {name}", hint="a container, image, volume or network")


def volume(context: Context, name: str) -> Json:
    """Return what Docker says of a volume. Raises VolumeError."""
    store = VolumeStore(context.paths)
    state = store.get(name) if name and "/" not in name else None
    if state is None:
        raise VolumeError(f"volume {name}: no such volume", hint="see: pycompose volume ls")
    return {
        "CreatedAt": stamp(state.created_ns),
        "Driver": state.driver,
        "Labels": state.labels or None,
        "Mountpoint": str(store.data(name)),
        "Name": state.name,
        "Options": state.options or None,
        "Scope": "local",
    }


def network(context: Context, text: str) -> Json:
    """Return what Docker says of a network, with the containers that run on it. Raises NetworkError."""
    state = networks.find(context, text)
    return {**network_document(context, state), "Containers": _connected(context, state)}


def network_document(context: Context, state: NetworkState) -> Json:
    """Return what Docker lists of a network: no containers."""
    always = state.driver in ("host", "null") and not state.config_only
    return {
        "Name": state.name,
        "Id": state.id,
        "Created": stamp(state.created_ns),
        "Scope": "local",
        "Driver": state.driver,
        "EnableIPv4": bool(state.subnet),
        "EnableIPv6": bool(state.subnet6),
        "IPAM": {
            "Driver": "default",
            "Options": None if always else state.ipam_options,
            "Config": None if always else _ipam(context, state),
        },
        "Internal": state.internal,
        "Attachable": state.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": state.config_from},
        "ConfigOnly": state.config_only,
        "Containers": {},
        "Options": _bridge_options(state) if state.name == DEFAULT_BRIDGE else state.options,
        "Labels": state.labels,
    }


def _ipam(context: Context, state: NetworkState) -> list[Json]:
    """Return the pools of a network, as far as they say more than the subnet."""
    kept = kept_networks.read(context.paths, state.name) if state.config_only else None
    pools = kept.pools if kept else network_creation.pools(state)
    found = []
    for pool in pools:
        document = {"Subnet": pool.subnet}
        document |= {"IPRange": pool.ip_range} if pool.ip_range not in ("", pool.subnet) else {}
        document |= {"Gateway": pool.gateway} if pool.gateway else {}
        found.append(document | ({"AuxiliaryAddresses": pool.aux} if pool.aux else {}))
    return found


def _bridge_options(state: NetworkState) -> dict[str, str]:
    """Return what Docker tells of the default bridge, which nobody has given any options."""
    return {
        f"{BRIDGE_OPTION}default_bridge": "true",
        f"{BRIDGE_OPTION}enable_icc": "true",
        f"{BRIDGE_OPTION}enable_ip_masquerade": "true",
        f"{BRIDGE_OPTION}host_binding_ipv4": "0.0.0.0",  # noqa: S104 - shown only
        f"{BRIDGE_OPTION}name": state.bridge,
        f"{DRIVER_OPTION}mtu": str(state.mtu),
    }


def _connected(context: Context, state: NetworkState) -> Json:
    found = {}
    for item in users_of_modes(context.paths).get(state.name, ()):
        if item.running:
            found[item.id] = _connection(item, state, EndpointRecord(network=state.name))
    for item in network_users(context.paths).get(state.name, ()):
        for endpoint in item.runtime.endpoints:
            if endpoint.network == state.name and item.running:
                found[item.id] = _connection(item, state, endpoint)
    return found


def _connection(item: ObservedContainer, state: NetworkState, endpoint: EndpointRecord) -> Json:
    ip, ip6 = endpoint.ip, endpoint.ip6
    return {
        "Name": item.name,
        "EndpointID": endpoint_id(item.id, state.id),
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{ip}/{prefix_length(state.subnet)}" if ip else "",
        "IPv6Address": f"{ip6}/{prefix_length(state.subnet6)}" if ip6 else "",
    }
