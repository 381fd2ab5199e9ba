"""Requests of rtnetlink(7) as bytes: links, addresses, routes, neighbours. Pure.

Numbers and layouts are those of linux/rtnetlink.h, if_link.h, if_addr.h and neighbour.h; numbers are in the machine's
order. Sequence numbers are the sender's.
"""

from __future__ import annotations

import _socket as socket  # the module around it brings selectors and more: 3 ms of `network create`
import struct

from pycompose.engine.dataclass import dataclass
from pycompose.networking.netlink.attributes import attribute, text
from pycompose.networking.netlink.messages import HEADER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST

NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
ADD = NLM_F_CREATE | NLM_F_EXCL
PUT = NLM_F_CREATE | NLM_F_REPLACE

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH = 28

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_TXQLEN, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC = 13, 18, 20, 26
IFLA_GROUP, IFLA_NET_NS_FD = 27, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_BRPORT_MODE, IFLA_BRPORT_LEARNING, IFLA_BRPORT_ISOLATED = 4, 8, 33
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
VETH_INFO_PEER = 1
IFF_UP, IFF_RUNNING = 1, 0x40

IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_F_NODAD = 1, 2, 4, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
RT_TABLE_MAIN, RTPROT_KERNEL, RTPROT_STATIC, RTN_UNICAST = 254, 2, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
NDA_DST, NDA_LLADDR = 1, 2
NUD_REACHABLE, NUD_NOARP, NUD_PERMANENT = 0x02, 0x40, 0x80
NTF_MASTER = 0x04

IFINFOMSG = struct.Struct("=BxHiII")
IFADDRMSG = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BxxxiHBB")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """The container's end of a veth pair: born in the namespace that `netns_fd` refers to."""

    name: str
    mac: str
    netns_fd: int


# ---------------------------------------------------------------------- links


def new_bridge(*, name: str, mac: str, mtu: int, group: int) -> bytes:
    """Make a bridge."""
    info = attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    return _link(RTM_NEWLINK, ADD, _name(name), _mac(mac), _u32(IFLA_MTU, mtu), _u32(IFLA_GROUP, group), info)


def new_veth(*, name: str, mac: str, mtu: int, master: int, peer: PeerSpec) -> bytes:
    """Make a veth pair, `name` being a port of the bridge `master` (index)."""
    far = (
        IFINFOMSG.pack(0, 0, 0, 0, 0)
        + _name(peer.name)
        + _mac(peer.mac)
        + _u32(IFLA_MTU, mtu)
        + _u32(IFLA_TXQLEN, 0)
        + _u32(IFLA_NET_NS_FD, peer.netns_fd)
    )
    data = attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, far))
    return _link(
        RTM_NEWLINK,
        ADD,
        _name(name),
        _mac(mac),
        _u32(IFLA_MTU, mtu),
        _u32(IFLA_TXQLEN, 0),
        _u32(IFLA_MASTER, master),
        attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth") + data),
    )


def bridge_up(name: str, *, alias: str, link_local: bool | None) -> bytes:
    """Set a bridge up, which may make itself a `link_local` address; None where the link is without IPv6."""
    more = _no_link_local() if link_local is False else b""
    return _link(RTM_NEWLINK, 0, _name(name), text(IFLA_IFALIAS, alias[:255]), more, up=True)


def port_up(name: str, *, alias: str, isolated: bool, ipv6: bool = True) -> bytes:
    """Set a port of a bridge up: hairpin, nothing learnt, no link-local address where there is IPv6 at all."""
    settings = (
        (IFLA_BRPORT_MODE, b"\1"),
        (IFLA_BRPORT_LEARNING, b"\0"),
        (IFLA_BRPORT_ISOLATED, bytes([isolated])),
    )
    data = b"".join(attribute(number, value) for number, value in settings)
    info = text(IFLA_INFO_SLAVE_KIND, "bridge") + attribute(IFLA_INFO_SLAVE_DATA, data)
    linkinfo = attribute(IFLA_LINKINFO, info)
    more = _no_link_local() if ipv6 else b""
    return _link(RTM_NEWLINK, 0, _name(name), text(IFLA_IFALIAS, alias[:255]), more, linkinfo, up=True)


def link_up(name: str) -> bytes:
    """Set a link up."""
    return _link(RTM_NEWLINK, 0, _name(name), up=True)


def get_link(name: str) -> bytes:
    """Ask for a link."""
    return _link(RTM_GETLINK, 0, _name(name))


def set_mtu(name: str, mtu: int) -> bytes:
    """Set an MTU, in bytes."""
    return _link(RTM_NEWLINK, 0, _name(name), _u32(IFLA_MTU, mtu))


def set_mac(name: str, mac: str) -> bytes:
    """Set a hardware address."""
    return _link(RTM_NEWLINK, 0, _name(name), _mac(mac))


def set_group(name: str, group: int) -> bytes:
    """Put a link into a group."""
    return _link(RTM_NEWLINK, 0, _name(name), _u32(IFLA_GROUP, group))


def set_master(name: str, master: int) -> bytes:
    """Make a link a port of the bridge `master` (index)."""
    return _link(RTM_NEWLINK, 0, _name(name), _u32(IFLA_MASTER, master))


def delete_link(name: str) -> bytes:
    """Delete a link."""
    return _link(RTM_DELLINK, 0, _name(name))


def delete_group(group: int) -> bytes:
    """Delete the links of a group."""
    return _link(RTM_DELLINK, 0, _u32(IFLA_GROUP, group))


# ---------------------------------------------------------------------- addresses, routes, neighbours


def new_address(index: int, address: str, prefix: int) -> bytes:
    """Give a link an address, with its broadcast address if it has one; an IPv6 one without detecting duplicates."""
    packed, family = _address(address)
    six = family == socket.AF_INET6
    parts = [attribute(IFA_LOCAL, packed), attribute(IFA_ADDRESS, packed)]
    if not six and prefix < 31:
        last = int.from_bytes(packed, "big") | (1 << (32 - prefix)) - 1
        parts.append(attribute(IFA_BROADCAST, last.to_bytes(4, "big")))
    head = IFADDRMSG.pack(family, prefix, IFA_F_NODAD if six else 0, 0, index)
    return _request(RTM_NEWADDR, NLM_F_ACK | PUT, head, *parts)


def default_route(index: int, gateway: str) -> bytes:
    """Route everything of the gateway's family through it, in place of another default route."""
    packed, family = _address(gateway)
    return _route(family, attribute(RTA_GATEWAY, packed), _u32(RTA_OIF, index))


def default_link(index: int, family: int) -> bytes:
    """Route everything of an address family over the link itself, in place of another default route."""
    scope = RT_SCOPE_LINK if family == socket.AF_INET else RT_SCOPE_UNIVERSE
    return _route(family, _u32(RTA_OIF, index), scope=scope)


def link_route(index: int, subnet: str, source: str) -> bytes:
    """Lead to a subnet over the link itself, as the kernel does it when an address is added."""
    address, _, bits = subnet.partition("/")
    packed, family = _address(address)
    four = family == socket.AF_INET
    parts = [attribute(RTA_DST, packed), _u32(RTA_OIF, index)]
    if four:
        parts.append(attribute(RTA_PREFSRC, _address(source)[0]))
    scope = RT_SCOPE_LINK if four else RT_SCOPE_UNIVERSE
    return _route(family, *parts, bits=int(bits), protocol=RTPROT_KERNEL, scope=scope)


def bridge_entry(index: int, mac: str) -> bytes:
    """Enter an address into the table of a bridge, behind its port `index`."""
    return _neighbour(socket.AF_BRIDGE, index, mac, NUD_NOARP | NUD_REACHABLE, NTF_MASTER)


def permanent_neighbour(index: int, address: str, mac: str) -> bytes:
    """Say once and for all whose hardware address an IP address has."""
    packed, family = _address(address)
    return _neighbour(family, index, mac, NUD_PERMANENT, 0, attribute(NDA_DST, packed))


# ---------------------------------------------------------------------- lists


def list_links() -> bytes:
    """Ask for all links."""
    return _request(RTM_GETLINK, NLM_F_DUMP, IFINFOMSG.pack(0, 0, 0, 0, 0))


def list_addresses() -> bytes:
    """Ask for all addresses."""
    return _request(RTM_GETADDR, NLM_F_DUMP, IFADDRMSG.pack(0, 0, 0, 0, 0))


def list_routes(family: int) -> bytes:
    """Ask for the routes of the main table."""
    return _request(RTM_GETROUTE, NLM_F_DUMP, RTMSG.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0))


# ---------------------------------------------------------------------- parts


def _request(kind: int, flags: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 0, 0) + body


def _link(kind: int, flags: int, *attributes: bytes, up: bool = False) -> bytes:
    head = IFINFOMSG.pack(0, 0, 0, IFF_UP if up else 0, IFF_UP if up else 0)
    return _request(kind, NLM_F_ACK | flags, head, *attributes)


def _route(
    family: int, *parts: bytes, bits: int = 0, protocol: int = RTPROT_STATIC, scope: int = RT_SCOPE_UNIVERSE
) -> bytes:
    head = RTMSG.pack(family, bits, 0, 0, RT_TABLE_MAIN, protocol, scope, RTN_UNICAST, 0)
    return _request(RTM_NEWROUTE, NLM_F_ACK | PUT, head, *parts)


def _neighbour(family: int, index: int, mac: str, state: int, flags: int, *parts: bytes) -> bytes:
    head = _NDMSG.pack(family, index, state, flags, 0)
    return _request(RTM_NEWNEIGH, NLM_F_ACK | PUT, head, *parts, attribute(NDA_LLADDR, _packed_mac(mac)))


def _no_link_local() -> bytes:
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    return attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))


def _name(name: str) -> bytes:
    return text(IFLA_IFNAME, name)


def _mac(mac: str) -> bytes:
    return attribute(IFLA_ADDRESS, _packed_mac(mac))


def _packed_mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _address(address: str) -> tuple[bytes, int]:
    """Return an address packed, and its family."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.inet_pton(family, address), family
