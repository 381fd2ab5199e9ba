"""rtnetlink(7): links, addresses and routes, in as few messages as the kernel allows.

A socket of our own: a batch of requests is one sendmsg and, as a rule, one recv.
"""

from __future__ import annotations

import _socket as socket  # the module around it brings selectors and more: 3 ms of `network create`
import errno
import fcntl
import ipaddress
import os
import struct
import sys
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import NetworkError
from pycompose.networking.netlink import requests
from pycompose.networking.netlink.attributes import attributes, text_of
from pycompose.networking.netlink.batch import Batch
from pycompose.networking.netlink.messages import (
    HEADER,
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLMSG_DONE,
    NLMSG_ERROR,
    RECV_BYTES,
    SOL_NETLINK,
    read_error,
    split,
)
from pycompose.networking.netlink.requests import IFADDRMSG, IFF_RUNNING, IFF_UP, IFINFOMSG, RTMSG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

NETLINK_ROUTE = 0
NETLINK_GET_STRICT_CHK = 12
# An answer about a link takes 4 KiB of the 208 that a socket has (net.core.rmem_default).
MOST_AT_ONCE = 32

SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX = 0x8913, 0x8927, 0x8933


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as the kernel lists it; `up` is what it is set to, whether or not something is at its end."""

    index: int
    name: str
    up: bool = False
    kind: str = ""
    alias: str = ""
    master: int = 0


class Netlink:
    """A socket in the network namespace of the thread that makes it; for one thread at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def batch(self) -> Batch:
        """Return an empty batch for this socket."""
        return Batch(self.exchange)

    def index(self, name: str) -> int:
        """Return the index of the link `name`, 0 when there is none (netdevice(7), SIOCGIFINDEX)."""
        try:
            reply = fcntl.ioctl(self._socket, SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
        except OSError as exc:
            if exc.errno == errno.ENODEV:
                return 0
            raise
        return int(struct.unpack_from("16si", reply)[1])

    def is_up(self, name: str) -> bool:
        """Tell whether there is a link `name`, and it is set up."""
        return bool(self._flags(name) & IFF_UP)

    def is_running(self, name: str) -> bool:
        """Tell whether a link is up and the kernel has acted on its carrier: what is sent gets somewhere."""
        return bool(self._flags(name) & IFF_RUNNING)

    def _flags(self, name: str) -> int:
        """Return a link's flags, 0 when there is none (netdevice(7), SIOCGIFFLAGS)."""
        try:
            reply = fcntl.ioctl(self._socket, SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError as exc:
            if exc.errno == errno.ENODEV:
                return 0
            raise
        return int(struct.unpack_from("16sH", reply)[1])

    def mac(self, name: str) -> str:
        """Return the MAC address of the link `name`, "" when there is no such link."""
        try:
            reply = fcntl.ioctl(self._socket, SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))
        except OSError as exc:
            if exc.errno == errno.ENODEV:
                return ""
            raise
        return reply[18:24].hex(":")

    def links(self) -> list[Link]:
        """Return every link of the namespace."""
        return [_link(body) for body in self._list(requests.list_links(), "links")]

    def routes(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the destinations of all routes of the main table, without the default routes."""
        found: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for body in self._list(requests.list_routes(family), "routes"):
                _family, bits, _src, _tos, _table, _protocol, _scope, kind, _flags = RTMSG.unpack_from(body)
                destination = attributes(body[RTMSG.size :]).get(requests.RTA_DST)
                if destination and kind == requests.RTN_UNICAST:
                    found.append(ipaddress.ip_network((destination, bits)))
        return found

    def addresses(self, index: int) -> set[str]:
        """Return the addresses of a link, as text."""
        found = set()
        for body in self._list(requests.list_addresses(), "addresses"):
            family, _prefix, _flags, _scope, link = IFADDRMSG.unpack_from(body)
            values = attributes(body[IFADDRMSG.size :])
            packed = values.get(requests.IFA_LOCAL) or values.get(requests.IFA_ADDRESS)
            if link == index and packed:
                found.add(socket.inet_ntop(family, packed))
        return found

    def _list(self, request: bytes, what: str) -> Iterator[bytes]:
        """Yield the bodies of what the kernel lists. Raises NetworkError."""
        self._sequence += 1
        self._socket.send(_number(request, self._sequence))
        while True:
            block = self._socket.recv(RECV_BYTES)
            for offset, length, reply, sequence in split(block):
                if sequence != self._sequence:
                    continue
                if reply == NLMSG_DONE:
                    return
                if reply == NLMSG_ERROR:
                    code, words = read_error(block, offset, length)
                    if code in (0, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENOENT):
                        return
                    raise NetworkError(f"{what}: list: {words}")
                yield block[offset + HEADER.size : offset + length]

    def exchange(self, messages: Sequence[bytes]) -> list[tuple[int, str]]:
        """Send all messages; return errno (0: done) and the kernel's words for each.

        At once, but for many: what the socket can't hold of the answers would be lost (ENOBUFS).
        """
        return [
            answer
            for start in range(0, len(messages), MOST_AT_ONCE)
            for answer in self._exchange(messages[start : start + MOST_AT_ONCE])
        ]

    def _exchange(self, messages: Sequence[bytes]) -> list[tuple[int, str]]:
        first = self._sequence + 1
        self._sequence += len(messages)
        numbered = [_number(data, first + place) for place, data in enumerate(messages)]
        self._socket.sendmsg(numbered)
        answers: dict[int, tuple[int, str]] = {}
        while len(answers) < len(messages):
            block = self._socket.recv(RECV_BYTES)
            for offset, length, kind, sequence in split(block):
                if kind == NLMSG_ERROR:
                    answers[sequence - first] = read_error(block, offset, length)
        return [answers[place] for place in range(len(messages))]


def delete_links(links: Sequence[str]) -> None:
    """Delete links (of a veth pair, both ends); no error for those that are gone or "". Raises NetworkError.

    Several are put into one link group first, because each request waits for RCU: 10 veths took 190 ms by
    name and take 20 ms as a group.
    """
    names = [name for name in links if name]
    if not names:
        return
    with Netlink() as netlink:
        batch = netlink.batch()
        if len(names) == 1:
            batch.delete_link(names[0])
        else:
            group = int.from_bytes(os.urandom(4), "big") >> 1 | 1
            for name in names:
                batch.set_group(name, group)
            batch.delete_group(group)
        batch.commit()


def _number(data: bytes, sequence: int) -> bytes:
    return data[:8] + struct.pack("=I", sequence) + data[12:]


def _link(body: bytes) -> Link:
    _family, _type, index, flags, _change = IFINFOMSG.unpack_from(body)
    values = attributes(body[IFINFOMSG.size :])
    info = attributes(values.get(requests.IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=text_of(values.get(requests.IFLA_IFNAME)),
        up=bool(flags & IFF_UP),
        kind=text_of(info.get(requests.IFLA_INFO_KIND)),
        alias=text_of(values.get(requests.IFLA_IFALIAS)),
        master=int.from_bytes(values.get(requests.IFLA_MASTER, b""), sys.byteorder),
    )
