"""Tables, chains, sets, rules and expressions of nftables, as bytes for nfnetlink.Transaction.

Numbers are from linux/netfilter/nf_tables.h; the data types of sets and the layout of comments are nft's
and libnftnl's, so that `nft list ruleset` shows what an administrator can read. Registers 1 to 4 hold 16
bytes, 8 to 23 hold 4: fields of a concatenation lie in consecutive 4-byte registers.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking.netlink.nfnetlink import Transaction, attribute, be32, nested, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, NEWRULE, NEWSET, NEWSETELEM = 0, 2, 3, 4, 6, 9, 12
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
NF_DROP, NF_ACCEPT, NFT_JUMP = 0, 1, -3

REG_VERDICT, REG_1, REG_2, REG32 = 0, 1, 2, 8
META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO, META_IIFGROUP, META_OIFGROUP = 6, 7, 15, 16, 21, 22
CT_STATE, CT_STATUS = 0, 2
CT_ESTABLISHED, CT_RELATED, IPS_DST_NAT = 2, 4, 1 << 5
CMP_EQ, CMP_NEQ = 0, 1
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SET_MAP, SET_INTERVAL, ELEMENT_INTERVAL_END = 0x8, 0x4, 0x1
RTN_LOCAL = 2

TYPE_IPV4, TYPE_IPV6, TYPE_PROTO, TYPE_PORT, TYPE_IFNAME = 7, 8, 12, 13, 41
SIZES = {TYPE_IPV4: 4, TYPE_IPV6: 16, TYPE_PROTO: 1, TYPE_PORT: 2, TYPE_IFNAME: 16}
HOST_ORDER, NETWORK_ORDER = 1, 2
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}


@dataclass(frozen=True, slots=True)
class SetType:
    """The key (or data) of a set: one field, or several concatenated."""

    fields: tuple[int, ...]

    @property
    def number(self) -> int:
        """The type's number in nft: six bits a field."""
        value = 0
        for field in self.fields:
            value = value << 6 | field
        return value

    @property
    def length(self) -> int:
        """Bytes of one value; fields of a concatenation are padded to four."""
        if len(self.fields) == 1:
            return SIZES[self.fields[0]]
        return sum((SIZES[field] + 3) & ~3 for field in self.fields)

    @property
    def byte_order(self) -> int:
        """What nft calls the byte order; interface names are host order to it."""
        return HOST_ORDER if self.fields == (TYPE_IFNAME,) else NETWORK_ORDER


class Table:
    """Builds one table within a transaction; the second word of errors is the object's name."""

    def __init__(self, transaction: Transaction, family: str, name: str) -> None:
        self._transaction = transaction
        self._family = family
        self._name = name
        self._next_set = 0

    def create(self, comment: str, *, replace: bool) -> None:
        """Create the table, in place of an existing one or not: then the kernel answers EEXIST."""
        body = text(1, self._name) + attribute(6, _userdata(0, comment))
        if replace:
            self.delete()
        self._add(NEWTABLE, CREATE | EXCLUSIVE, body, f"table {self._name}")

    def delete(self) -> None:
        """Delete the table with all that is in it, if there is one."""
        # Creating it first makes deletion work always; nft's own scripts do the same.
        self._add(NEWTABLE, CREATE, text(1, self._name), f"table {self._name}")
        self._add(DELTABLE, 0, text(1, self._name), f"table {self._name}")

    def base_chain(self, name: str, kind: str, hook: str, priority: int, comment: str) -> None:
        """Create a chain that the kernel calls: `kind` is filter or nat; its policy is accept."""
        hooked = nested(4, be32(1, HOOKS[hook]), be32(2, priority))
        body = text(1, self._name) + text(3, name) + hooked + be32(5, NF_ACCEPT) + text(7, kind)
        self._add(NEWCHAIN, CREATE, body + attribute(12, _userdata(0, comment)), f"chain {name}")

    def chain(self, name: str, comment: str) -> None:
        """Create a chain that rules jump to."""
        body = text(1, self._name) + text(3, name) + attribute(12, _userdata(0, comment))
        self._add(NEWCHAIN, CREATE, body, f"chain {name}")

    def rule(self, chain: str, comment: str, *expressions: bytes) -> None:
        """Append a rule."""
        body = (
            text(1, self._name)
            + text(2, chain)
            + nested(4, *expressions)
            + attribute(7, _userdata(0, comment))
        )
        self._add(NEWRULE, CREATE | APPEND, body, f"rule {comment!r} of chain {chain}")

    def set(self, name: str, key: SetType, elements: Iterable[bytes]) -> None:
        """Create a set with its elements."""
        self._new_set(name, key, 0, None)
        self._elements(name, [nested(1, data(1, value)) for value in elements])

    def interval_set(self, name: str, key: SetType, subnets: Iterable[str]) -> None:
        """Create a set of address ranges; adjacent ones are joined."""
        self._new_set(name, key, SET_INTERVAL, None)
        elements = []
        for first, beyond in ranges(subnets):
            elements.append(nested(1, data(1, first.to_bytes(key.length, "big"))))
            if beyond < 1 << 8 * key.length:
                end = data(1, beyond.to_bytes(key.length, "big"))
                elements.append(nested(1, end, be32(3, ELEMENT_INTERVAL_END)))
        self._elements(name, elements)

    def map(self, name: str, key: SetType, value: SetType, elements: Mapping[bytes, bytes]) -> None:
        """Create a map with its elements."""
        self._new_set(name, key, SET_MAP, value)
        self._elements(name, [nested(1, data(1, item), data(2, elements[item])) for item in elements])

    def _new_set(self, name: str, key: SetType, flags: int, value: SetType | None) -> None:
        self._next_set += 1
        body = (
            text(1, self._name) + text(2, name) + be32(3, flags) + be32(4, key.number) + be32(5, key.length)
        )
        hints = _byte_order(0, key)
        if value is not None:
            body += be32(6, value.number) + be32(7, value.length)
            hints += _byte_order(1, value)
        body += be32(10, self._next_set) + attribute(13, hints)
        self._add(NEWSET, CREATE, body, f"set {name}")

    def _elements(self, name: str, elements: Sequence[bytes]) -> None:
        head = text(1, self._name) + text(2, name) + be32(4, self._next_set)
        for start in range(0, len(elements), 500):  # an attribute holds 64 KiB
            body = head + nested(3, *elements[start : start + 500])
            self._add(NEWSETELEM, CREATE, body, f"elements of set {name}")

    def _add(self, command: int, flags: int, body: bytes, what: str) -> None:
        self._transaction.add(command, flags, self._family, body, what)


def ranges(subnets: Iterable[str]) -> list[tuple[int, int]]:
    """Return (first address, first address beyond) of the union of `subnets`, sorted and disjoint."""
    merged: list[tuple[int, int]] = []
    nets = [ipaddress.ip_network(subnet) for subnet in subnets]
    for first, beyond in sorted((int(net[0]), int(net[-1]) + 1) for net in nets):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(beyond, merged[-1][1]))
        else:
            merged.append((first, beyond))
    return merged


# values


def ifname(name: str) -> bytes:
    """Return an interface name as the kernel compares it."""
    return name.encode().ljust(16, b"\0")


def port(number: int) -> bytes:
    """Return a port, padded to its register."""
    return struct.pack(">H2x", number)


def protocol(name: str) -> bytes:
    """Return a protocol's number, padded to its register."""
    return bytes([PROTOCOLS[name], 0, 0, 0])


def address(ip: str) -> bytes:
    """Return an address of either family."""
    return ipaddress.ip_address(ip).packed


def host32(value: int) -> bytes:
    """Return a number in host order, as meta, ct and fib deliver theirs."""
    return struct.pack("=I", value)


def data(kind: int, value: bytes) -> bytes:
    """Return a value inside the attribute `kind`: NFTA_DATA_VALUE."""
    return nested(kind, attribute(1, value))


# expressions


def expression(name: str, *parts: bytes) -> bytes:
    """Return one element of a rule's expression list."""
    return nested(1, text(1, name), nested(2, *parts))


def meta(key: int, register: int = REG_1) -> bytes:
    """Load a packet's meta data."""
    return expression("meta", be32(1, register), be32(2, key))


def payload(header: int, offset: int, length: int, register: int = REG_1) -> bytes:
    """Load bytes of the packet."""
    return expression("payload", be32(1, register), be32(2, header), be32(3, offset), be32(4, length))


def ct(key: int) -> bytes:
    """Load a property of the connection."""
    return expression("ct", be32(1, REG_1), be32(2, key))


def fib_type(flag: int) -> bytes:
    """Load the type of the source (flag 1) or destination (2) address: RTN_LOCAL is this machine's."""
    return expression("fib", be32(1, REG_1), be32(2, 3), be32(3, flag))


def compare(value: bytes, operator: int = CMP_EQ) -> bytes:
    """Go on when register 1 equals `value` (or differs from it)."""
    return expression("cmp", be32(1, REG_1), be32(2, operator), data(3, value))


def mask(value: bytes) -> bytes:
    """Keep the bits `value` of register 1."""
    zeros = data(5, bytes(len(value)))
    return expression("bitwise", be32(1, REG_1), be32(2, REG_1), be32(3, len(value)), data(4, value), zeros)


def lookup(name: str, register: int = REG_1, *, into: int | None = None, absent: bool = False) -> bytes:
    """Go on when the register is in the set (or absent from it); a map's value goes `into` a register."""
    parts = [text(1, name), be32(2, register)]
    if into is not None:
        parts.append(be32(3, into))
    if absent:
        parts.append(be32(5, 1))
    return expression("lookup", *parts)


def load(value: bytes, register: int) -> bytes:
    """Put `value` into a register."""
    return expression("immediate", be32(1, register), data(2, value))


def dnat(family: str, address_register: int, port_register: int) -> bytes:
    """Send the connection to the address and port in the registers."""
    version = socket.AF_INET if family == "ip" else socket.AF_INET6
    return expression("nat", be32(1, 1), be32(2, version), be32(3, address_register), be32(5, port_register))


def masquerade() -> bytes:
    """Replace the source address by that of the outgoing interface."""
    return expression("masq")


def counter() -> bytes:
    """Count packets and bytes."""
    return expression("counter")


def accept() -> bytes:
    """End this chain well."""
    return _verdict(NF_ACCEPT)


def drop() -> bytes:
    """Drop the packet, for all tables."""
    return _verdict(NF_DROP)


def jump(chain: str) -> bytes:
    """Go through another chain and come back."""
    return _verdict(NFT_JUMP, text(2, chain))


def _verdict(code: int, *more: bytes) -> bytes:
    return expression("immediate", be32(1, REG_VERDICT), nested(2, nested(2, be32(1, code), *more)))


def _userdata(kind: int, comment: str) -> bytes:
    """Return libnftnl's type-length-value with a NUL-terminated comment, 127 bytes at most."""
    value = comment.encode()[:127] + b"\0"
    return bytes([kind, len(value)]) + value


def _byte_order(kind: int, of: SetType) -> bytes:
    return bytes([kind, 4]) + host32(of.byte_order)
