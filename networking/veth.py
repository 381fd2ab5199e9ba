"""Veth pairs: one end a port of the network's bridge, the other in the container's namespace (veth(4))."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam
from pycompose.networking.netlink.rtnetlink import Netlink, PeerSpec, failed_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.model import EndpointState, NetworkState


def host_end(container_id: str, network: str) -> str:
    """Return the name of the host's end: always the same one, so that a repair finds it."""
    return "veth" + hashlib.sha256(f"{container_id} {network}".encode()).hexdigest()[:11]


def create_pairs(
    host: Netlink, container: Netlink, netns_fd: int, endpoints: Sequence[EndpointState]
) -> None:
    """Make a veth pair for each endpoint, or what is missing of it, and the host's ends ports of their bridges.

    Raises NetworkError.
    """
    missing = [endpoint for endpoint in endpoints if not _is_paired(host, container, endpoint)]
    batch = host.batch()
    for endpoint in missing:
        batch.create_veth(
            endpoint.attachment.veth,
            mac=ipam.random_mac(),
            mtu=endpoint.network.mtu,
            master=_bridge_index(host, endpoint.network),
            peer=PeerSpec(name=endpoint.attachment.interface, mac=endpoint.attachment.mac, netns_fd=netns_fd),
        )
    for endpoint in endpoints:
        batch.set_port(
            endpoint.attachment.veth,
            alias=endpoint.attachment.lease_key,
            isolated=endpoint.network.isolated_ports,
        )
    failures = batch.commit_each()
    for endpoint, failure in zip(missing, failures, strict=False):
        if failed_with(failure, errno.EEXIST):
            raise NetworkError(
                f"{failure}",
                hint=f"interface_name {endpoint.attachment.interface!r} is taken in the container",
            ) from failure
    for failure in failures:
        if failure is not None:
            raise failure


def announce(host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
    """Let the bridges forward from now on, then tell the neighbours whose the addresses are."""
    carriers, announcements = host.batch(), container.batch()
    for endpoint in endpoints:
        carriers.sync_carrier(endpoint.attachment.veth)
        announcements.announce(endpoint.attachment.interface, endpoint.attachment.mac)
    carriers.commit()
    announcements.commit()


def _is_paired(host: Netlink, container: Netlink, endpoint: EndpointState) -> bool:
    """Tell whether the pair exists; half of one, or one that leads elsewhere, is deleted."""
    attachment = endpoint.attachment
    if not host.index(attachment.veth):
        return False
    if container.mac(attachment.interface) == attachment.mac:
        return True
    batch = host.batch()
    batch.delete_link(attachment.veth)
    batch.commit()
    return False


def _bridge_index(host: Netlink, network: NetworkState) -> int:
    index = host.index(network.bridge)
    if not index:
        raise NetworkError(
            f"network {network.name}: connect: its bridge {network.bridge} is gone",
            hint="pycompose down and up makes it anew",
        )
    return index
