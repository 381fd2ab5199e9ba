"""What others delete of ours, or set down: nftables, links, addresses, routes, forwarding, as the kernel tells of it.

The kernel's own multicast groups (NFNLGRP_NFTABLES, RTNLGRP_*). A filter of the socket (SO_ATTACH_FILTER) lets only
deletions through, and of nftables only those of our tables that another socket has asked for: whoever makes a hundred
containers is not woken by each of their links. Numbers are those of linux/rtnetlink.h, linux/netfilter/nf_tables.h and
linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking.netlink.attributes import attributes
from pycompose.networking.netlink.messages import HEADER, RECV_BYTES, SOL_NETLINK, split
from pycompose.networking.netlink.nfnetlink import NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES
from pycompose.networking.netlink.rtnetlink import NETLINK_ROUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

NETLINK_ADD_MEMBERSHIP = 1
NFNLGRP_NFTABLES = 7
RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 1, 5, 7
RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE = 9, 11
RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF = 24, 25
RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR, RTM_DELROUTE, RTM_NEWNETCONF = 16, 17, 21, 25, 80
# Settings of all interfaces; each new link tells its own, too (linux/netconf.h).
NETCONFA_IFINDEX_ALL, NETCONFA_FORWARDING = 0xFFFFFFFF, 2
# NFT_MSG_DEL…: table, chain, rule, set, element.
NFT_DELETIONS = (2, 5, 8, 11, 14)
IFLA_IFNAME = 3
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST = 1

SO_ATTACH_FILTER = 26
BPF_LD_H_ABS, BPF_LD_W_ABS = 0x28, 0x20
BPF_JEQ, BPF_JSET, BPF_RET = 0x15, 0x45, 0x06
ALL = 0xFFFFFFFF
_TYPE_AT, _PORT_AT, _TABLE_AT, _IFINDEX_AT = 4, 12, 24, 24
_LINK_FLAGS_AT, _LINK_CHANGE_AT = 24, 28
IFF_UP = 1


@dataclass(frozen=True, slots=True)
class Deletion:
    """Something that is gone: `kind` "table" (or what was in it), "link", "address" or "route" and its name.

    A link may have been set down only.

    "forwarding" is switched off for all interfaces, "setting" is any other that was changed for them.
    """

    kind: str
    name: str


# Nobody can tell what: more has happened than the socket could hold.
UNKNOWN = Deletion("unknown", "")


class DeletionWatch:
    """Two sockets in the network namespace of the calling thread; `sockets` become readable when there is news."""

    def __init__(self, table_prefix: str, own_port: int) -> None:
        """Only tables that begin with `table_prefix` (4 characters) count; `own_port` is our nftables socket's.

        Raises OSError.
        """
        deletions = [NFNL_SUBSYS_NFTABLES << 8 | number for number in NFT_DELETIONS]
        self._tables = _open(
            NETLINK_NETFILTER, [NFNLGRP_NFTABLES], _table_filter(deletions, table_prefix, own_port)
        )
        try:
            groups = [
                RTNLGRP_LINK,
                RTNLGRP_IPV4_IFADDR,
                RTNLGRP_IPV4_ROUTE,
                RTNLGRP_IPV6_IFADDR,
                RTNLGRP_IPV6_ROUTE,
                RTNLGRP_IPV4_NETCONF,
                RTNLGRP_IPV6_NETCONF,
            ]
            self._routes = _open(
                NETLINK_ROUTE, groups, _type_filter([RTM_DELLINK, RTM_DELADDR, RTM_DELROUTE])
            )
        except OSError:
            self._tables.close()
            raise

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """The sockets to wait for."""
        return self._tables, self._routes

    def close(self) -> None:
        """Listen no more."""
        for sock in self.sockets:
            sock.close()

    def read(self) -> set[Deletion]:
        """Return what has been deleted since the last call."""
        found: set[Deletion] = set()
        for sock, parse in ((self._tables, _table), (self._routes, _route_object)):
            while True:
                try:
                    block = sock.recv(RECV_BYTES)
                except BlockingIOError:
                    break
                except OSError as exc:
                    if exc.errno != errno.ENOBUFS:
                        raise
                    found.add(UNKNOWN)
                    continue
                for offset, length, kind, _sequence in split(block):
                    found.add(parse(kind, block[offset + HEADER.size : offset + length]))
        return found


def _table(_kind: int, body: bytes) -> Deletion:
    name = attributes(body[4:]).get(1, b"")  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE… are all 1
    return Deletion("table", name.rstrip(b"\0").decode(errors="replace"))


def _route_object(kind: int, body: bytes) -> Deletion:
    if kind in (RTM_DELLINK, RTM_NEWLINK):
        return Deletion(
            "link", attributes(body[16:]).get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        )
    if kind == RTM_NEWNETCONF:
        off = attributes(body[4:]).get(NETCONFA_FORWARDING) == bytes(4)
        return Deletion("forwarding" if off else "setting", "")
    family, bits = body[0], body[1]
    if kind == RTM_DELADDR:
        found = attributes(body[8:])
        return Deletion("address", _address(family, found.get(IFA_LOCAL) or found.get(IFA_ADDRESS, b"")))
    return Deletion("route", f"{_address(family, attributes(body[12:]).get(RTA_DST, b''))}/{bits}")


def _address(family: int, packed: bytes) -> str:
    try:
        return socket.inet_ntop(family, packed)
    except (ValueError, OSError):  # a family that we know nothing of, the default route
        return ""


def _open(protocol: int, groups: Sequence[int], program: bytes) -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
    )
    try:
        code = ctypes.create_string_buffer(program)
        head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)
        sock.bind((0, 0))
        for group in groups:
            sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except OSError:
        sock.close()
        raise
    return sock


def _type_filter(kinds: Sequence[int]) -> bytes:
    """Return a program for messages of these types, of links that have been set down, of settings of all interfaces.

    A new link is down, too, but all of it has changed. BPF loads big-endian, netlink is the host's.
    """
    steps = [(BPF_LD_H_ABS, 0, 0, _TYPE_AT)]
    for place, kind in enumerate(kinds):
        steps.append((BPF_JEQ, len(kinds) - place + 9, 0, socket.htons(kind)))
    up = socket.htonl(IFF_UP)
    steps += [
        (BPF_JEQ, 0, 5, socket.htons(RTM_NEWLINK)),
        (BPF_LD_W_ABS, 0, 0, _LINK_FLAGS_AT),
        (BPF_JSET, 6, 0, up),
        (BPF_LD_W_ABS, 0, 0, _LINK_CHANGE_AT),
        (BPF_JEQ, 4, 0, ALL),
        (BPF_JSET, 4, 3, up),
        (BPF_JEQ, 0, 2, socket.htons(RTM_NEWNETCONF)),
        (BPF_LD_W_ABS, 0, 0, _IFINDEX_AT),
        (BPF_JEQ, 1, 0, NETCONFA_IFINDEX_ALL),
        (BPF_RET, 0, 0, 0),
        (BPF_RET, 0, 0, ALL),
    ]
    return _program(steps)


def _table_filter(kinds: Sequence[int], prefix: str, own_port: int) -> bytes:
    """Return a program for messages of these types, of tables that begin with `prefix`, not asked for by `own_port`."""
    (start,) = struct.unpack(">I", prefix.encode()[:4])
    steps = [(BPF_LD_H_ABS, 0, 0, _TYPE_AT)]
    for place, kind in enumerate(kinds):
        steps.append((BPF_JEQ, len(kinds) - place, 0, socket.htons(kind)))
    steps += [
        (BPF_RET, 0, 0, 0),
        (BPF_LD_W_ABS, 0, 0, _PORT_AT),
        (BPF_JEQ, 0, 1, socket.htonl(own_port)),
        (BPF_RET, 0, 0, 0),
        (BPF_LD_W_ABS, 0, 0, _TABLE_AT),
        (BPF_JEQ, 1, 0, start),
        (BPF_RET, 0, 0, 0),
        (BPF_RET, 0, 0, ALL),
    ]
    return _program(steps)


def _program(steps: Sequence[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
