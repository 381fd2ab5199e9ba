"""Tables, chains, sets, rules and expressions of nftables, as bytes for nfnetlink.Transaction.

Constants have the names of the kernel's headers; those that callers use go without the prefix NFT_, because the
module's name says it. The data types of sets and the layout of comments are nft's and libnftnl's, so that `nft list
ruleset` shows what an administrator can read. Registers 1 to 4 hold 16 bytes, 8 to 23 hold 4: fields of a concatenation
lie in consecutive 4-byte registers.
"""

from __future__ import annotations

import _socket as socket  # the module around it brings selectors and more: 3 ms of `network create`
import ipaddress
import struct
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking.netlink.attributes import attribute, nested, text
from pycompose.networking.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, Transaction, be32

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.networking.netlink.nfnetlink import Netfilter

# linux/netfilter/nf_tables.h: messages and attributes of objects
NEWTABLE, GETTABLE, DELTABLE, NEWCHAIN, GETCHAIN, NEWRULE, GETRULE = 0, 1, 2, 3, 4, 6, 7
NEWSET, NEWSETELEM = 9, 12
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
NFTA_TABLE_NAME, NFTA_TABLE_USERDATA = 1, 6
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE = 1, 3, 4, 5, 7
NFTA_CHAIN_USERDATA = 12
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 4, 7
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN = 1, 2, 3, 4, 5
NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN, NFTA_SET_ID, NFTA_SET_USERDATA = 6, 7, 10, 13
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_LIST_SET_ID = 4
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS = 1, 2, 3
NFTA_LIST_ELEM = 1
SET_INTERVAL, SET_MAP, SET_ELEM_INTERVAL_END = 0x4, 0x8, 0x1

# … and of expressions
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
NFTA_META_DREG, NFTA_META_KEY = 1, 2
NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN = 1, 2, 3, 4
NFTA_CT_DREG, NFTA_CT_KEY = 1, 2
NFTA_FIB_DREG, NFTA_FIB_RESULT, NFTA_FIB_FLAGS = 1, 2, 3
NFTA_NG_DREG, NFTA_NG_MODULUS, NFTA_NG_TYPE = 1, 2, 3
NFTA_BYTEORDER_SREG, NFTA_BYTEORDER_DREG, NFTA_BYTEORDER_OP, NFTA_BYTEORDER_LEN, NFTA_BYTEORDER_SIZE = (
    1,
    2,
    3,
    4,
    5,
)
NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA = 1, 2, 3
NFTA_BITWISE_SREG, NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_XOR = 1, 2, 3, 4, 5
NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_LOOKUP_DREG, NFTA_LOOKUP_FLAGS = 1, 2, 3, 5
NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA = 1, 2
NFTA_NAT_TYPE, NFTA_NAT_FAMILY, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN = 1, 2, 3, 5

REG_VERDICT, REG_1, REG_2, REG32_00 = 0, 1, 2, 8
META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO, META_IIFGROUP, META_OIFGROUP = 6, 7, 15, 16, 21, 22
PAYLOAD_NETWORK_HEADER, PAYLOAD_TRANSPORT_HEADER = 1, 2
CT_STATE, CT_STATUS = 0, 2
FIB_RESULT_OIF, FIB_RESULT_ADDRTYPE, FIB_F_SADDR, FIB_F_DADDR, FIB_F_IIF = 1, 3, 0x1, 0x2, 0x8
CMP_EQ, CMP_NEQ, CMP_LT = 0, 1, 2
NG_RANDOM, BYTEORDER_HTON = 1, 1
LOOKUP_F_INV = 0x1
NAT_SNAT, NAT_DNAT = 0, 1
JUMP = -3

# linux/netfilter.h, nf_conntrack_common.h (states as bits), rtnetlink.h
NF_DROP, NF_ACCEPT = 0, 1
NF_INET_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
CT_STATE_ESTABLISHED, CT_STATE_RELATED, IPS_DST_NAT = 0x2, 0x4, 1 << 5
RTN_LOCAL = 2

# libnftnl's udata.h: what nft keeps for itself in the user data of objects
UDATA_COMMENT, UDATA_SET_KEYBYTEORDER, UDATA_SET_DATABYTEORDER = 0, 0, 1

# nft's data types (libnftables, include/datatype.h)
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
        body = text(NFTA_TABLE_NAME, self._name) + attribute(NFTA_TABLE_USERDATA, _comment(comment))
        if replace:
            self.delete()
        self._add(NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, body, f"table {self._name}")

    def delete(self) -> None:
        """Delete the table with all that is in it, if there is one."""
        # Creating it first makes deletion work always; nft's own scripts do the same.
        self._add(NEWTABLE, NLM_F_CREATE, text(NFTA_TABLE_NAME, self._name), f"table {self._name}")
        self._add(DELTABLE, 0, text(NFTA_TABLE_NAME, self._name), f"table {self._name}")

    def base_chain(self, name: str, kind: str, hook: str, priority: int, comment: str) -> None:
        """Create a chain that the kernel calls: `kind` is filter or nat; its policy is accept."""
        self._add_chain(
            name,
            comment,
            nested(
                NFTA_CHAIN_HOOK,
                be32(NFTA_HOOK_HOOKNUM, NF_INET_HOOKS[hook]),
                be32(NFTA_HOOK_PRIORITY, priority),
            ),
            be32(NFTA_CHAIN_POLICY, NF_ACCEPT),
            text(NFTA_CHAIN_TYPE, kind),
        )

    def chain(self, name: str, comment: str) -> None:
        """Create a chain that rules jump to."""
        self._add_chain(name, comment)

    def _add_chain(self, name: str, comment: str, *hook: bytes) -> None:
        parts = (text(NFTA_CHAIN_TABLE, self._name), text(NFTA_CHAIN_NAME, name), *hook)
        body = b"".join(parts) + attribute(NFTA_CHAIN_USERDATA, _comment(comment))
        self._add(NEWCHAIN, NLM_F_CREATE, body, f"chain {name}")

    def rule(self, chain: str, comment: str, *expressions: bytes) -> None:
        """Append a rule."""
        body = (
            text(NFTA_RULE_TABLE, self._name)
            + text(NFTA_RULE_CHAIN, chain)
            + nested(NFTA_RULE_EXPRESSIONS, *expressions)
            + attribute(NFTA_RULE_USERDATA, _comment(comment))
        )
        self._add(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, body, f"rule {comment!r} of chain {chain}")

    def set(self, name: str, key: SetType, elements: Iterable[bytes]) -> None:
        """Create a set with its elements."""
        self._new_set(name, key, 0, None)
        self._elements(name, [_element(key_value(value)) for value in elements])

    def interval_set(self, name: str, key: SetType, subnets: Iterable[str]) -> None:
        """Create a set of address ranges; adjacent ones are joined."""
        self._new_set(name, key, SET_INTERVAL, None)
        elements = []
        for first, beyond in ranges(subnets):
            elements.append(_element(key_value(first.to_bytes(key.length, "big"))))
            if beyond < 1 << 8 * key.length:
                end = key_value(beyond.to_bytes(key.length, "big"))
                elements.append(_element(end, be32(NFTA_SET_ELEM_FLAGS, SET_ELEM_INTERVAL_END)))
        self._elements(name, elements)

    def map(self, name: str, key: SetType, value: SetType, elements: Mapping[bytes, bytes]) -> None:
        """Create a map with its elements."""
        self._new_set(name, key, SET_MAP, value)
        self._elements(
            name,
            [_element(key_value(item), data(NFTA_SET_ELEM_DATA, elements[item])) for item in elements],
        )

    def _new_set(self, name: str, key: SetType, flags: int, value: SetType | None) -> None:
        self._next_set += 1
        body = (
            text(NFTA_SET_TABLE, self._name)
            + text(NFTA_SET_NAME, name)
            + be32(NFTA_SET_FLAGS, flags)
            + be32(NFTA_SET_KEY_TYPE, key.number)
            + be32(NFTA_SET_KEY_LEN, key.length)
        )
        hints = _byte_order(UDATA_SET_KEYBYTEORDER, key)
        if value is not None:
            body += be32(NFTA_SET_DATA_TYPE, value.number) + be32(NFTA_SET_DATA_LEN, value.length)
            hints += _byte_order(UDATA_SET_DATABYTEORDER, value)
        body += be32(NFTA_SET_ID, self._next_set) + attribute(NFTA_SET_USERDATA, hints)
        self._add(NEWSET, NLM_F_CREATE, body, f"set {name}")

    def _elements(self, name: str, elements: Sequence[bytes]) -> None:
        head = (
            text(NFTA_SET_ELEM_LIST_TABLE, self._name)
            + text(NFTA_SET_ELEM_LIST_SET, name)
            + be32(NFTA_SET_ELEM_LIST_SET_ID, self._next_set)
        )
        for start in range(0, len(elements), 500):  # an attribute holds 64 KiB
            body = head + nested(NFTA_SET_ELEM_LIST_ELEMENTS, *elements[start : start + 500])
            self._add(NEWSETELEM, NLM_F_CREATE, body, f"elements of set {name}")

    def _add(self, command: int, flags: int, body: bytes, what: str) -> None:
        self._transaction.add(command, flags, self._family, body, what)


def table_exists(netfilter: Netfilter, name: str) -> bool:
    """Tell whether there is a table of this name, in any family. Raises OSError."""
    wanted = name.encode() + b"\0"
    tables = netfilter.dump(NFNL_SUBSYS_NFTABLES, GETTABLE)
    return any(found.get(NFTA_TABLE_NAME) == wanted for _family, found in tables)


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
    """Return a value inside the attribute `kind`."""
    return nested(kind, attribute(NFTA_DATA_VALUE, value))


def key_value(value: bytes) -> bytes:
    """Return the key of a set's element."""
    return data(NFTA_SET_ELEM_KEY, value)


# expressions


def expression(name: str, *parts: bytes) -> bytes:
    """Return one element of a rule's expression list."""
    return nested(NFTA_LIST_ELEM, text(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, *parts))


def meta(key: int, register: int = REG_1) -> bytes:
    """Load a packet's meta data."""
    return expression("meta", be32(NFTA_META_DREG, register), be32(NFTA_META_KEY, key))


def payload(header: int, offset: int, length: int, register: int = REG_1) -> bytes:
    """Load bytes of the packet."""
    return expression(
        "payload",
        be32(NFTA_PAYLOAD_DREG, register),
        be32(NFTA_PAYLOAD_BASE, header),
        be32(NFTA_PAYLOAD_OFFSET, offset),
        be32(NFTA_PAYLOAD_LEN, length),
    )


def ct(key: int) -> bytes:
    """Load a property of the connection."""
    return expression("ct", be32(NFTA_CT_DREG, REG_1), be32(NFTA_CT_KEY, key))


def fib_type(flag: int) -> bytes:
    """Load the type of an address, NFTA_FIB_F_SADDR or NFTA_FIB_F_DADDR: RTN_LOCAL is this machine's."""
    return expression(
        "fib",
        be32(NFTA_FIB_DREG, REG_1),
        be32(NFTA_FIB_RESULT, FIB_RESULT_ADDRTYPE),
        be32(NFTA_FIB_FLAGS, flag),
    )


def no_way_back() -> bytes:
    """Go on when the route to the source address doesn't lead over the interface that the packet has come from.

    In chains of hook forward since Linux 5.19 only; before, the kernel answers EOPNOTSUPP.
    """
    loaded = expression(
        "fib",
        be32(NFTA_FIB_DREG, REG_1),
        be32(NFTA_FIB_RESULT, FIB_RESULT_OIF),
        be32(NFTA_FIB_FLAGS, FIB_F_SADDR | FIB_F_IIF),
    )
    return loaded + compare(host32(0))


def compare(value: bytes, operator: int = CMP_EQ) -> bytes:
    """Go on when register 1 equals `value` (or differs from it)."""
    return expression(
        "cmp", be32(NFTA_CMP_SREG, REG_1), be32(NFTA_CMP_OP, operator), data(NFTA_CMP_DATA, value)
    )


def chance(of: int, out_of: int) -> bytes:
    """Go on with this share of the packets, drawn by lot."""
    draw = expression(
        "numgen",
        be32(NFTA_NG_DREG, REG_1),
        be32(NFTA_NG_MODULUS, out_of),
        be32(NFTA_NG_TYPE, NG_RANDOM),
    )
    order = expression(
        "byteorder",
        be32(NFTA_BYTEORDER_SREG, REG_1),
        be32(NFTA_BYTEORDER_DREG, REG_1),
        be32(NFTA_BYTEORDER_OP, BYTEORDER_HTON),
        be32(NFTA_BYTEORDER_LEN, 4),
        be32(NFTA_BYTEORDER_SIZE, 4),
    )
    return draw + order + compare(struct.pack(">I", of), CMP_LT)


def mask(value: bytes) -> bytes:
    """Keep the bits `value` of register 1."""
    return expression(
        "bitwise",
        be32(NFTA_BITWISE_SREG, REG_1),
        be32(NFTA_BITWISE_DREG, REG_1),
        be32(NFTA_BITWISE_LEN, len(value)),
        data(NFTA_BITWISE_MASK, value),
        data(NFTA_BITWISE_XOR, bytes(len(value))),
    )


def lookup(name: str, register: int = REG_1, *, into: int | None = None, absent: bool = False) -> bytes:
    """Go on when the register is in the set (or absent from it); a map's value goes `into` a register."""
    parts = [text(NFTA_LOOKUP_SET, name), be32(NFTA_LOOKUP_SREG, register)]
    if into is not None:
        parts.append(be32(NFTA_LOOKUP_DREG, into))
    if absent:
        parts.append(be32(NFTA_LOOKUP_FLAGS, LOOKUP_F_INV))
    return expression("lookup", *parts)


def load(value: bytes, register: int) -> bytes:
    """Put `value` into a register."""
    return expression("immediate", be32(NFTA_IMMEDIATE_DREG, register), data(NFTA_IMMEDIATE_DATA, value))


def dnat(family: str, address_register: int, port_register: int) -> bytes:
    """Send the connection to the address and port in the registers."""
    version = socket.AF_INET if family == "ip" else socket.AF_INET6
    return expression(
        "nat",
        be32(NFTA_NAT_TYPE, NAT_DNAT),
        be32(NFTA_NAT_FAMILY, version),
        be32(NFTA_NAT_REG_ADDR_MIN, address_register),
        be32(NFTA_NAT_REG_PROTO_MIN, port_register),
    )


def snat(family: str, value: bytes) -> bytes:
    """Replace the source address by another one."""
    version = socket.AF_INET if family == "ip" else socket.AF_INET6
    parts = (
        be32(NFTA_NAT_TYPE, NAT_SNAT),
        be32(NFTA_NAT_FAMILY, version),
        be32(NFTA_NAT_REG_ADDR_MIN, REG_1),
    )
    return load(value, REG_1) + expression("nat", *parts)


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
    return _verdict(JUMP, text(NFTA_VERDICT_CHAIN, chain))


def _verdict(code: int, *more: bytes) -> bytes:
    verdict = nested(NFTA_DATA_VERDICT, be32(NFTA_VERDICT_CODE, code), *more)
    return expression(
        "immediate", be32(NFTA_IMMEDIATE_DREG, REG_VERDICT), nested(NFTA_IMMEDIATE_DATA, verdict)
    )


def _element(*parts: bytes) -> bytes:
    return nested(NFTA_LIST_ELEM, *parts)


def _comment(comment: str) -> bytes:
    """Return libnftnl's type-length-value with a NUL-terminated comment, 127 bytes at most."""
    value = comment.encode()[:127] + b"\0"
    return bytes([UDATA_COMMENT, len(value)]) + value


def _byte_order(kind: int, of: SetType) -> bytes:
    return bytes([kind, 4]) + host32(of.byte_order)
