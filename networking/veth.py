"""Veth pairs: one end a port of the network's bridge, the other in the container's namespace (veth(4))."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from pycompose.engine.digests import sha256
from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam
from pycompose.networking.model import IPV6_MIN_MTU, link_alias
from pycompose.networking.netlink.batch import failed_with
from pycompose.networking.netlink.requests import PeerSpec
from pycompose.networking.netlink.rtnetlink import Netlink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.model import EndpointState, NetworkState

# The work queue that looks after carriers takes less than a millisecond, unless the processors are taken.
CARRIER_S, CARRIER_STEP_S = 0.5, 0.001


def host_end(container_id: str, network: str) -> str:
    """Return the name of the host's end: always the same one, so that a repair finds it."""
    return "veth" + sha256(f"{container_id} {network}".encode()).hexdigest()[:11]


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
        if endpoint not in missing:  # somebody may have deleted the bridge
            batch.set_master(endpoint.attachment.veth, _bridge_index(host, endpoint.network))
            batch.set_mtu(endpoint.attachment.veth, endpoint.network.mtu)
        batch.set_port(
            endpoint.attachment.veth,
            alias=link_alias(endpoint.attachment.lease_key.partition("/")[0]),
            isolated=endpoint.network.isolated_ports,
            ipv6=endpoint.network.mtu >= IPV6_MIN_MTU,
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
    """Let the bridges forward from now on, then tell the neighbours whose the addresses are.

    A container may send any frame. The bridge knows by us, not by frames, where a hardware address is, and a container
    whose its gateway's is: neither can be stolen.
    """
    carriers, announcements = host.batch(), container.batch()
    for endpoint in endpoints:
        link, name, mac = (
            endpoint.attachment.veth,
            endpoint.attachment.interface,
            endpoint.attachment.mac,
        )
        carriers.add_forwarding(link, host.index(link), mac)
        carriers.sync_carrier(link)
        announcements.announce(name, mac)
        router = host.mac(endpoint.network.bridge)
        index = container.index(name)
        for gateway, _subnet in endpoint.network.router_addresses:
            if endpoint.attachment.ip6 if ":" in gateway else endpoint.attachment.ip:
                announcements.pin_neighbour(name, index, gateway, router)
    carriers.commit()
    ends = [(host, endpoint.attachment.veth) for endpoint in endpoints]
    ends += [(container, endpoint.attachment.interface) for endpoint in endpoints]
    _wait_for_carriers(ends)
    announcements.commit()


def _wait_for_carriers(ends: Sequence[tuple[Netlink, str]]) -> None:
    """Wait, not for long, until the kernel has acted on all carriers: before Linux 6.8 nobody can ask it to."""
    until = time.monotonic() + CARRIER_S
    for netlink, name in ends:
        while not netlink.is_running(name) and time.monotonic() < until:
            time.sleep(CARRIER_STEP_S)


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
