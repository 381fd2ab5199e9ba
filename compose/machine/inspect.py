"""`inspect`: containers, images, volumes and networks in the shape of Docker's API, which tools and tests read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import (
    InvalidReference,
    NetworkError,
    NoSuchContainer,
    NoSuchImage,
    PycomposeError,
    VolumeError,
)
from pycompose.machine import images, networks
from pycompose.machine.inspect_container import Json, container, prefix_length, stamp
from pycompose.state.users import network_users
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.client.context import Context
    from pycompose.networking.model import NetworkState


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
    configs = [
        {
            "Subnet": subnet,
            **({"IPRange": ip_range} if ip_range not in ("", subnet) else {}),
            "Gateway": gateway,
        }
        for subnet, ip_range, gateway in (
            (state.subnet, state.ip_range, state.gateway),
            (state.subnet6, state.ip_range6, state.gateway6),
        )
        if subnet
    ]
    return {
        "Name": state.name,
        "Id": state.id,
        "Created": stamp(state.created_ns),
        "Scope": "local",
        "Driver": state.driver,
        "EnableIPv4": bool(state.subnet),
        "EnableIPv6": bool(state.subnet6),
        "IPAM": {"Driver": "default", "Options": None, "Config": configs},
        "Internal": state.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigOnly": False,
        "Containers": _connected(context, state),
        "Options": state.options,
        "Labels": state.labels,
    }


def _connected(context: Context, state: NetworkState) -> Json:
    found = {}
    for item in network_users(context.paths).get(state.name, ()):
        for endpoint in item.runtime.endpoints:
            if endpoint.network == state.name and item.running:
                ip, ip6 = endpoint.ip, endpoint.ip6
                found[item.id] = {
                    "Name": item.name,
                    "EndpointID": "",
                    "MacAddress": endpoint.mac,
                    "IPv4Address": f"{ip}/{prefix_length(state.subnet)}" if ip else "",
                    "IPv6Address": f"{ip6}/{prefix_length(state.subnet6)}" if ip6 else "",
                }
    return found
