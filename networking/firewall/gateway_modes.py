"""Networks that the world reaches by their own addresses, or that have an address of their own to leave under.

Docker's `com.docker.network.bridge.gateway_mode_ipv4` and `…_ipv6` ("nat-unprotected": every port; "routed": those
that are published, and pings), and its `com.docker.network.host_ipv4` and `…_ipv6`. None of these rules is there for
a project without such a network.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pycompose.networking.firewall import nft
from pycompose.networking.firewall.families import IPV4, IPV6, subnets_of
from pycompose.networking.model import NAT_UNPROTECTED, ROUTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.firewall.families import Family
    from pycompose.networking.model import NetworkState, OpenPort

# IPPROTO_ICMP and IPPROTO_ICMPV6 (netinet/in.h).
ICMP = {4: b"\x01", 6: b"\x3a"}


def let_in(
    table: nft.Table,
    chain: str,
    family: Family,
    networks: Sequence[NetworkState],
    opened: Sequence[OpenPort],
) -> None:
    """Accept what comes to containers' own addresses as far as the modes of their networks say."""
    version, key = family.version, nft.SetType((family.type,))
    subnets = {
        mode: [
            str(net)
            for network in networks
            if network.gateway_mode_of(version) == mode and not network.internal
            for net in subnets_of(network, version)
        ]
        for mode in (NAT_UNPROTECTED, ROUTED)
    }
    to_bridges = nft.meta(nft.META_OIFNAME) + nft.lookup("bridges") + family.match()
    if subnets[NAT_UNPROTECTED]:
        table.interval_set(f"open{version}", key, subnets[NAT_UNPROTECTED])
        known = family.load_destination() + nft.lookup(f"open{version}")
        table.rule(chain, "networks without protection", to_bridges, known, nft.accept())
    if subnets[ROUTED]:
        table.interval_set(f"routed{version}", key, subnets[ROUTED])
        known = family.load_destination() + nft.lookup(f"routed{version}")
        ping = nft.meta(nft.META_L4PROTO) + nft.compare(ICMP[version])
        table.rule(chain, "pings of routed networks", to_bridges, known, ping, nft.accept())
        _let_in_ports(table, chain, family, to_bridges, opened)


def _let_in_ports(
    table: nft.Table, chain: str, family: Family, to_bridges: bytes, opened: Sequence[OpenPort]
) -> None:
    name, first = f"opened{family.version}", nft.REG32_00
    after = first + family.registers
    elements = {
        nft.address(port.container_ip) + nft.protocol(port.protocol) + nft.port(port.container_port)
        for port in opened
        if ipaddress.ip_address(port.container_ip).version == family.version
    }
    table.set(name, nft.SetType((family.type, nft.TYPE_PROTO, nft.TYPE_PORT)), sorted(elements))
    table.rule(
        chain,
        "published ports of routed networks",
        to_bridges,
        family.load_destination(first),
        nft.meta(nft.META_L4PROTO, after),
        nft.payload(nft.PAYLOAD_TRANSPORT_HEADER, 2, 2, after + 1),
        nft.lookup(name, first),
        nft.accept(),
    )


def add_sources(table: nft.Table, chain: str, networks: Sequence[NetworkState]) -> None:
    """Have what leaves a network the address that the user has chosen for it."""
    for network in networks:
        for net in subnets_of(network):
            family = IPV4 if net.version == 4 else IPV6
            source = network.source(net.version)
            if not source or not network.translates(net.version):
                continue
            table.rule(
                chain,
                f"out into the world from {network.name}"[:120],
                family.match(),
                family.load_source(),
                nft.mask(net.netmask.packed),
                nft.compare(net.network_address.packed),
                nft.meta(nft.META_OIFNAME),
                nft.lookup("bridges", absent=True),
                nft.snat(family.name, nft.address(source)),
            )
