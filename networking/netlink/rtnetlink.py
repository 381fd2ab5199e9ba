"""rtnetlink(7): links, addresses and routes, in as few messages as the kernel allows.

The only module that knows pyroute2. Its message classes encode and decode; the socket is our own, because
the library's costs an asyncio loop and a round trip per call: a batch here is one sendmsg and, as a rule,
one recv.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import importlib.util
import ipaddress
import os
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import DOCTOR, NetworkError
from pycompose.networking.netlink.messages import (
    LACKS,
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RECV_BYTES,
    SOL_NETLINK,
    read_error,
    split,
)
from pycompose.networking.netlink.templates import filled, ip_value, mac_value, number_value, text_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

NETLINK_ROUTE = 0
NETLINK_GET_STRICT_CHK = 12

NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR = 20
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
IFF_UP = 1
IFA_F_NODAD = 0x02
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
ADDR_GEN_MODE_NONE = 1

SIOCGIFHWADDR, SIOCGIFINDEX = 0x8927, 0x8933

_import_lock = threading.Lock()
_modules: dict[str, Any] = {}


def preload() -> None:
    """Import pyroute2's message classes now (about 25 ms CPU), so that no container pays for it later."""
    _message_class("ifinfmsg")


def _message_class(name: str) -> Any:
    """Return a message class of pyroute2.netlink.rtnl, importing what is needed of the library.

    `import pyroute2` pulls in every socket type, asyncio and multiprocessing: 125 ms. The message classes
    need none of it, so they are imported below an empty stand-in of the top package, which is taken away
    again.
    """
    with _import_lock:
        if not _modules:
            stand_in = "pyroute2" not in sys.modules
            if stand_in:
                spec = importlib.util.find_spec("pyroute2")
                if spec is None:
                    raise NetworkError("pyroute2: import: not installed", hint="pip install pyroute2")
                sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)
            try:
                for known in ("ifinfmsg", "ifaddrmsg", "rtmsg"):
                    module = importlib.import_module(f"pyroute2.netlink.rtnl.{known}")
                    _modules[known] = getattr(module, known)
            finally:
                if stand_in:
                    del sys.modules["pyroute2"]
    return _modules[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as the kernel lists it."""

    index: int
    name: str
    kind: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """The container's end of a veth pair: born in the namespace that `netns_fd` refers to."""

    name: str
    mac: str
    netns_fd: int


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
        return Batch(self)

    def index(self, name: str) -> int:
        """Return the index of the link `name`, 0 when there is none (netdevice(7), SIOCGIFINDEX)."""
        try:
            reply = fcntl.ioctl(self._socket, SIOCGIFINDEX, struct.pack("16si20x", name.encode(), 0))
        except OSError as exc:
            if exc.errno == errno.ENODEV:
                return 0
            raise
        return int(struct.unpack_from("16si", reply)[1])

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
        return [_link(message) for message in self._dump(RTM_GETLINK, "ifinfmsg", {})]

    def routes(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the destinations of all routes of the main table, without the default routes."""
        found: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for message in self._dump(RTM_GETROUTE, "rtmsg", {"family": family, "table": RT_TABLE_MAIN}):
                destination = message.get_attr("RTA_DST")
                if destination and message["type"] == RTN_UNICAST:
                    found.append(ipaddress.ip_network(f"{destination}/{message['dst_len']}"))
        return found

    def _dump(self, kind: int, name: str, values: dict[str, Any]) -> Iterator[Any]:
        self._sequence += 1
        data = encode(name, kind, NLM_F_DUMP, values, [])
        self._socket.send(_number(data, self._sequence))
        while True:
            block = self._socket.recv(RECV_BYTES)
            for offset, length, reply, sequence in split(block):
                if sequence != self._sequence:
                    continue
                if reply == NLMSG_DONE:
                    return
                if reply == NLMSG_ERROR:
                    code, text = read_error(block, offset, length)
                    if code in (0, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENOENT):
                        return
                    raise NetworkError(f"{name}: list: {text}")
                message = _message_class(name)(block[offset : offset + length])
                message.decode()
                yield message

    def exchange(self, messages: Sequence[bytes]) -> list[tuple[int, str]]:
        """Send all messages at once; return errno (0: done) and the kernel's words for each."""
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


class Batch:
    """Requests that are sent together, each with what to say when it fails and which errors don't count."""

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink
        self._messages: list[bytes] = []
        self._what: list[tuple[str, frozenset[int]]] = []

    def _add(self, data: bytes, what: str, ignore: Sequence[int] = ()) -> None:
        self._messages.append(data)
        self._what.append((what, frozenset(ignore)))

    def create_bridge(self, name: str, *, mac: str, mtu: int, group: int) -> None:
        """Create a bridge in the link group `group`; no error when the name exists."""
        attributes = [
            ("IFLA_IFNAME", name),
            ("IFLA_ADDRESS", mac),
            ("IFLA_MTU", mtu),
            ("IFLA_GROUP", group),
            ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}),
        ]
        data = encode("ifinfmsg", RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, {}, attributes)
        self._add(data, f"bridge {name}: create", (errno.EEXIST,))

    def create_veth(self, name: str, *, mac: str, mtu: int, master: int, peer: PeerSpec) -> None:
        """Create a veth pair: `name` here, a port of the bridge `master` (index); `peer` in its namespace.

        Fails with EEXIST when `name` exists. Neither end is up: IFF_UP for the peer would be ENOTCONN.
        """
        data = filled(
            _new_veth,
            name=text_value(name),
            mac=mac_value(mac),
            mtu=number_value(mtu),
            master=number_value(master),
            peer=text_value(peer.name),
            peer_mac=mac_value(peer.mac),
            netns_fd=number_value(peer.netns_fd),
        )
        self._add(data, f"veth {name} and its peer {peer.name}: create")

    def set_port(self, name: str, *, alias: str, isolated: bool) -> None:
        """Bring a bridge port up: hairpin on, no IPv6 address, maybe `isolated` from the other ports."""
        data = filled(_port, isolated, name=text_value(name), alias=text_value(alias[:255]))
        self._add(data, f"veth {name}: set up as a bridge port")

    def set_bridge(self, name: str, *, alias: str, ipv6: bool) -> None:
        """Name a bridge for `ip link` readers and bring it up; a link-local address only with `ipv6`."""
        attributes: list[tuple[str, Any]] = [("IFLA_IFNAME", name), ("IFLA_IFALIAS", alias[:255])]
        if not ipv6:
            attributes.append(("IFLA_AF_SPEC", _addr_gen_mode(ADDR_GEN_MODE_NONE)))
        self._add(_set_link(attributes, up=True), f"bridge {name}: set up")

    def set_up(self, name: str) -> None:
        """Bring a link up."""
        self._add(filled(_up, name=text_value(name)), f"link {name}: set up")

    def sync_carrier(self, name: str) -> None:
        """Make the kernel act on a new carrier now: start sending, and let the bridge forward.

        Otherwise a work queue does so a little later, and what is sent until then is lost. Asking for one link
        waits for it since Linux 6.8 (linkwatch_sync_dev).
        """
        data = filled(_get_link, name=text_value(name))
        self._add(data, f"link {name}: synchronize carrier")

    def announce(self, name: str, mac: str) -> None:
        """Set the MAC address that a link has: the kernel then announces its addresses (arp_notify)."""
        data = filled(_set_mac, name=text_value(name), mac=mac_value(mac))
        self._add(data, f"link {name}: announce")

    def delete_link(self, name: str) -> None:
        """Delete a link; no error when there is none."""
        data = filled(_delete_link, name=text_value(name))
        self._add(data, f"link {name}: delete", (errno.ENODEV,))

    def set_group(self, name: str, group: int) -> None:
        """Put a link into a group; no error when there is no such link."""
        data = filled(_set_group, name=text_value(name), group=number_value(group))
        self._add(data, f"link {name}: set group", (errno.ENODEV,))

    def delete_group(self, group: int) -> None:
        """Delete all links of a group; no error when it has none."""
        data = encode("ifinfmsg", RTM_DELLINK, NLM_F_ACK, {}, [("IFLA_GROUP", group)])
        self._add(data, f"link group {group}: delete", (errno.ENODEV,))

    def add_address(self, link: str, index: int, address: str, prefix: int) -> None:
        """Give the link `index` (`link` in errors) an address; an IPv6 one is usable at once (no DAD)."""
        local = ip_value(address)
        values = {"local": local, "index": number_value(index)}
        if ":" not in address and prefix < 31:
            host = (1 << (32 - prefix)) - 1
            last = int.from_bytes(local.wire, "big") | host
            values["broadcast"] = ip_value(socket.inet_ntoa(last.to_bytes(4, "big")))
        data = filled(_new_address, prefix, **values)
        self._add(data, f"link {link}: add {address}/{prefix}")

    def add_default_route(self, link: str, index: int, gateway: str) -> None:
        """Route everything of the gateway's family through it, replacing another default route."""
        data = filled(_new_default_route, gateway=ip_value(gateway), index=number_value(index))
        self._add(data, f"link {link}: add default route by {gateway}")

    def commit(self) -> None:
        """Send everything. Raises NetworkError for the first that failed; later ones were tried too."""
        for failure in self.commit_each():
            if failure is not None:
                raise failure

    def commit_each(self) -> list[NetworkError | None]:
        """Send everything and return the failure, or None, of each request in order."""
        if not self._messages:
            return []
        try:
            answers = self._netlink.exchange(self._messages)
        except OSError as exc:
            raise NetworkError(f"{self._what[0][0]}: rtnetlink: {os.strerror(exc.errno or 0)}") from exc
        results: list[NetworkError | None] = []
        for (what, ignore), (code, words) in zip(self._what, answers, strict=True):
            if code and code not in ignore:
                failure = NetworkError(f"{what}: {words}", hint=DOCTOR if code in LACKS else None)
                failure.__cause__ = OSError(code, os.strerror(code))
                results.append(failure)
            else:
                results.append(None)
        self._messages, self._what = [], []
        return results


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


def failed_with(failure: NetworkError | None, code: int) -> bool:
    """Tell whether a request failed with the errno `code`."""
    return failure is not None and isinstance(failure.__cause__, OSError) and failure.__cause__.errno == code


def encode(
    name: str, kind: int, flags: int, values: dict[str, Any], attributes: list[tuple[str, Any]]
) -> bytes:
    """Return one request: header fields `values` and `attributes` in pyroute2's names."""
    message = _message_class(name)()
    message.update(values)
    message["attrs"] = attributes
    message["header"] = {"type": kind, "flags": NLM_F_REQUEST | flags}
    message.encode()
    return bytes(message.data)


def _number(data: bytes, sequence: int) -> bytes:
    return data[:8] + struct.pack("=I", sequence) + data[12:]


def _set_link(attributes: list[tuple[str, Any]], *, up: bool) -> bytes:
    values = {"flags": IFF_UP, "change": IFF_UP} if up else {}
    return encode("ifinfmsg", RTM_NEWLINK, NLM_F_ACK, values, attributes)


def _new_veth(  # noqa: PLR0913 - its fields
    *, name: str, mac: str, mtu: int, master: int, peer: str, peer_mac: str, netns_fd: int
) -> bytes:
    far = [
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", mtu),
        ("IFLA_TXQLEN", 0),
        ("IFLA_NET_NS_FD", netns_fd),
    ]
    info = [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", {"attrs": far})]})]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_TXQLEN", 0),
        ("IFLA_MASTER", master),
        ("IFLA_LINKINFO", {"attrs": info}),
    ]
    return encode("ifinfmsg", RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, {}, attributes)


def _port(isolated: object, *, name: str, alias: str) -> bytes:
    port = [("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_ISOLATED", int(bool(isolated)))]
    info = [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", {"attrs": port})]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_IFALIAS", alias),
        ("IFLA_AF_SPEC", _addr_gen_mode(ADDR_GEN_MODE_NONE)),
        ("IFLA_LINKINFO", {"attrs": info}),
    ]
    return _set_link(attributes, up=True)


def _up(*, name: str) -> bytes:
    return _set_link([("IFLA_IFNAME", name)], up=True)


def _get_link(*, name: str) -> bytes:
    return encode("ifinfmsg", RTM_GETLINK, NLM_F_ACK, {}, [("IFLA_IFNAME", name)])


def _set_mac(*, name: str, mac: str) -> bytes:
    return _set_link([("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac)], up=False)


def _delete_link(*, name: str) -> bytes:
    return encode("ifinfmsg", RTM_DELLINK, NLM_F_ACK, {}, [("IFLA_IFNAME", name)])


def _set_group(*, name: str, group: int) -> bytes:
    return _set_link([("IFLA_IFNAME", name), ("IFLA_GROUP", group)], up=False)


def _new_address(prefix: object, *, local: str, index: int, broadcast: str = "") -> bytes:
    values: dict[str, Any] = {"index": index, "prefixlen": prefix, "family": socket.AF_INET}
    if ":" in local:
        values |= {"family": socket.AF_INET6, "flags": IFA_F_NODAD}
    attributes = [("IFA_LOCAL", local), ("IFA_ADDRESS", local)]
    if broadcast:
        attributes.append(("IFA_BROADCAST", broadcast))
    flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return encode("ifaddrmsg", RTM_NEWADDR, flags, values, attributes)


def _new_default_route(*, gateway: str, index: int) -> bytes:
    family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
    values = {"family": family, "table": RT_TABLE_MAIN, "proto": RTPROT_STATIC, "type": RTN_UNICAST}
    attributes = [("RTA_GATEWAY", gateway), ("RTA_OIF", index)]
    return encode("rtmsg", RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, values, attributes)


def _addr_gen_mode(mode: int) -> dict[str, Any]:
    return {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", mode)]})]}


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        alias=message.get_attr("IFLA_IFALIAS") or "",
    )
