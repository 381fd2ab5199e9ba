"""The wires of one container: its namespace, and a veth pair to each of its networks."""

from __future__ import annotations

import errno
import functools
import hashlib
import ipaddress
import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam, netns
from pycompose.networking.netlink.rtnetlink import Netlink, PeerSpec, failed_with

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pycompose.networking.model import Attachment, NetworkState

    Sockets = tuple[socket.socket, socket.socket]

# Docker's defaults for a new namespace (engine.md 1.7). Links are born without IPv6 and get it switched on
# when their network has it (CVE-2024-32473). `arp_notify` and `ndisc_notify` let `_announce` make the kernel
# tell the neighbours: an address may have belonged to another MAC a second ago.
SYSCTLS = {
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/ping_group_range": "0 2147483647",
    "ipv4/conf/default/arp_notify": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/ndisc_notify": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One veth pair to be, and the default gateways that lie behind it ("" none)."""

    network: NetworkState
    attachment: Attachment
    gateway: str = ""
    gateway6: str = ""


def veth_name(container_id: str, network: str) -> str:
    """Return the name of the host's end: always the same one, so that a repair finds it."""
    return "veth" + hashlib.sha256(f"{container_id} {network}".encode()).hexdigest()[:11]


def connect(pin: Path, wires: Sequence[Wire], visit: Callable[[], Sockets] | None = None) -> Sockets | None:
    """Make the namespace at `pin` (if missing) with loopback up, and every wire (or what is missing of it).

    `visit` opens sockets in a namespace that is made now, before it has any link, and those are returned: each
    entry into a namespace costs a thread. Raises NetworkError; a second call goes on where the first one failed.
    """
    found = None
    if netns.is_pinned(pin):
        inner = netns.enter(pin, Netlink)
    else:
        inner, found = netns.create(pin, functools.partial(_furnish, visit))
    try:
        with inner, Netlink() as outer:
            if wires:
                _make_pairs(outer, inner, pin, wires)
                _allow_ipv6(pin, [wire.attachment.interface for wire in wires if wire.attachment.ip6])
            _configure(inner, wires)
            _announce(outer, inner, wires)
    except BaseException:
        for sock in found or ():
            sock.close()
        raise
    return found


def delete(links: Sequence[str]) -> None:
    """Delete links (of a veth pair, both ends); no error for those that are gone. Raises NetworkError.

    Several are put into one link group first, because each request waits for RCU: 10 veths took 190 ms by
    name and take 20 ms as a group.
    """
    if not links:
        return
    with Netlink() as netlink:
        batch = netlink.batch()
        if len(links) == 1:
            batch.delete_link(links[0])
        else:
            group = int.from_bytes(os.urandom(4), "big") >> 1 | 1
            for name in links:
                batch.set_group(name, group)
            batch.delete_group(group)
        batch.commit()


def _furnish(visit: Callable[[], Sockets] | None) -> tuple[Netlink, Sockets | None]:
    netns.write_sysctls(SYSCTLS)
    inner = Netlink()
    try:
        return inner, visit() if visit is not None else None
    except BaseException:
        inner.close()
        raise


def _make_pairs(outer: Netlink, inner: Netlink, pin: Path, wires: Sequence[Wire]) -> None:
    fd = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
    try:
        missing = [wire for wire in wires if not _joined(outer, inner, wire)]
        batch = outer.batch()
        for wire in missing:
            batch.create_veth(
                wire.attachment.veth,
                mac=ipam.random_mac(),
                mtu=wire.network.mtu,
                master=_bridge_index(outer, wire.network),
                peer=PeerSpec(name=wire.attachment.interface, mac=wire.attachment.mac, netns_fd=fd),
            )
        for wire in wires:
            batch.set_port(
                wire.attachment.veth,
                alias=wire.attachment.lease_key,
                isolated=wire.network.isolated_ports,
            )
        failures = batch.commit_quietly()
    finally:
        os.close(fd)
    for wire, failure in zip(missing, failures, strict=False):
        if failed_with(failure, errno.EEXIST):
            raise NetworkError(
                f"{failure}", hint=f"interface_name {wire.attachment.interface!r} is taken in the container"
            ) from failure
    for failure in failures:
        if failure is not None:
            raise failure


def _joined(outer: Netlink, inner: Netlink, wire: Wire) -> bool:
    """Tell whether the pair exists; half of one, or one that leads elsewhere, is deleted."""
    attachment = wire.attachment
    if not outer.index(attachment.veth):
        return False
    if inner.mac(attachment.interface) == attachment.mac:
        return True
    batch = outer.batch()
    batch.delete_link(attachment.veth)
    batch.commit()
    return False


def _bridge_index(outer: Netlink, network: NetworkState) -> int:
    index = outer.index(network.bridge)
    if not index:
        raise NetworkError(
            f"network {network.name}: connect: its bridge {network.bridge} is gone",
            hint="pycompose down and up makes it anew",
        )
    return index


def _allow_ipv6(pin: Path, interfaces: Sequence[str]) -> None:
    if interfaces:
        keys = [f"ipv6/conf/{name}/disable_ipv6" for name in interfaces]
        netns.enter(pin, lambda: netns.write_sysctls(dict.fromkeys(keys, "0")))


def _configure(inner: Netlink, wires: Sequence[Wire]) -> None:
    """Add addresses, bring links up, add routes: the kernel wants links up before routes."""
    batch = inner.batch()
    batch.set_up("lo")
    indexes = {wire.attachment.interface: inner.index(wire.attachment.interface) for wire in wires}
    for wire in wires:
        name = wire.attachment.interface
        for address, subnet in (
            (wire.attachment.ip, wire.network.subnet),
            (wire.attachment.ip6, wire.network.subnet6),
        ):
            if address:
                batch.add_address(name, indexes[name], address, ipaddress.ip_network(subnet).prefixlen)
        batch.set_up(name)
    for wire in wires:
        name = wire.attachment.interface
        for gateway in filter(None, (wire.gateway, wire.gateway6)):
            batch.add_default_route(name, indexes[name], gateway)
    batch.commit()


def _announce(outer: Netlink, inner: Netlink, wires: Sequence[Wire]) -> None:
    """Let the bridges forward from now on, then tell the neighbours whose the addresses are."""
    settling, telling = outer.batch(), inner.batch()
    for wire in wires:
        settling.settle(wire.attachment.veth)
        telling.announce(wire.attachment.interface, wire.attachment.mac)
    settling.commit()
    telling.commit()
