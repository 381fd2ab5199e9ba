"""Deletes UDP flows of the connection tracking that a published port has outgrown.

UDP has no end: a client that keeps its source port stays with the container (or the host) that its first
datagram went to, as long as it keeps sending. Names and numbers are those of
linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking.netlink.attributes import attributes, nested
from pycompose.networking.netlink.nfnetlink import FAMILIES, NFNL_SUBSYS_CTNETLINK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.model import PublishedPort
    from pycompose.networking.netlink.nfnetlink import Netfilter

IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
ANY = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, never bound


@dataclass(frozen=True, slots=True)
class FlowTuple:
    """One direction of a flow (CTA_TUPLE)."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int


def delete_stale_flows(netfilter: Netfilter, published: Sequence[PublishedPort]) -> None:
    """Delete the UDP flows to a published port that do not lead to its container."""
    ports: dict[tuple[int, int], list[PublishedPort]] = {}
    for port in published:
        if port.protocol == "udp":
            version = ipaddress.ip_address(port.container_ip).version
            ports.setdefault((version, port.host_port), []).append(port)
    for version, family in ((4, FAMILIES["ip"]), (6, FAMILIES["ip6"])):
        if not any(key[0] == version for key in ports):
            continue
        with contextlib.suppress(OSError):  # a kernel without ctnetlink: flows time out by themselves
            for _family, found in netfilter.dump(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, family):
                original = found.get(CTA_TUPLE_ORIG, b"")
                there, back = parse(original), parse(found.get(CTA_TUPLE_REPLY, b""))
                if there is None or back is None or there.protocol != socket.IPPROTO_UDP:
                    continue
                wanted = ports.get((version, there.destination_port), ())
                if any(is_stale(port, there, back) for port in wanted):
                    body = nested(CTA_TUPLE_ORIG, original)
                    netfilter.request(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, family, body)


def is_stale(port: PublishedPort, there: FlowTuple, back: FlowTuple) -> bool:
    """Tell whether a flow meets the port but answers from elsewhere than its container."""
    if port.host_ip not in ANY and port.host_ip != there.destination:
        return False
    if (back.source, back.source_port) == (port.container_ip, port.container_port):
        return False
    translated = (back.source, back.source_port) != (there.destination, there.destination_port)
    return translated or _is_local(there.destination)


def parse(data: bytes) -> FlowTuple | None:
    """Return the content of a CTA_TUPLE attribute, None when it has no addresses or ports."""
    outer = attributes(data)
    ip = attributes(outer.get(CTA_TUPLE_IP, b""))
    protocol = attributes(outer.get(CTA_TUPLE_PROTO, b""))
    source = ip.get(CTA_IP_V4_SRC) or ip.get(CTA_IP_V6_SRC)
    destination = ip.get(CTA_IP_V4_DST) or ip.get(CTA_IP_V6_DST)
    if source is None or destination is None or len(protocol.get(CTA_PROTO_NUM, b"")) != 1:
        return None
    ports = protocol.get(CTA_PROTO_SRC_PORT, b""), protocol.get(CTA_PROTO_DST_PORT, b"")
    if any(len(port) != 2 for port in ports):
        return None
    (source_port,), (destination_port,) = (struct.unpack(">H", port) for port in ports)
    return FlowTuple(
        protocol[CTA_PROTO_NUM][0],
        str(ipaddress.ip_address(source)),
        source_port,
        str(ipaddress.ip_address(destination)),
        destination_port,
    )


def _is_local(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
