"""Other firewalls on the machine: we can't accept what they drop, but we can say so.

A packet that any forward chain drops is lost. Docker, ufw and hand-made firewalls set the policy of theirs
to DROP.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.linux import libc
from pycompose.networking.firewall import nft
from pycompose.networking.firewall.rules import PREFIX
from pycompose.networking.netlink.nfnetlink import FAMILIES, NFNL_SUBSYS_NFTABLES, attributes, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.networking.netlink.nfnetlink import Netfilter

FORWARD = nft.NF_INET_HOOKS["forward"]
OUR_INTERFACES = b"pc-"

SOL_IP = 0
IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5I2I")
_ENTRY, _TARGET = 112, 32
_VERDICT_DROP = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppingChain:
    """A chain of somebody else's that drops every forwarded packet that its rules don't accept."""

    family: str
    table: str
    chain: str

    def __str__(self) -> str:
        return f"chain {self.chain} of table {self.family} {self.table}"

    @property
    def remedy(self) -> str:
        """The commands that let our bridges through."""
        if self.chain == "FORWARD":
            program = "ip6tables" if self.family == "ip6" else "iptables"
            remedies = [f"{program} -I FORWARD {way} pc-+ -j ACCEPT" for way in ("-i", "-o")]
        else:
            rule = f"nft insert rule {self.family} {self.table} {self.chain}"
            remedies = [f"{rule} {way} '\"pc-*\"' accept" for way in ("iifname", "oifname")]
        return " && ".join(remedies)


def dropping_chains(netfilter: Netfilter) -> tuple[DroppingChain, ...]:
    """Return the chains that drop forwarded packets unless they know them; none where they can't be read."""
    found = []
    with contextlib.suppress(OSError):
        found += [
            DroppingChain(family=family, table=table, chain=chain)
            for family, table, chain in _dropping_chains(netfilter)
        ]
    with contextlib.suppress(OSError, struct.error):
        if _legacy_policy_drops():
            found.append(DroppingChain(family="ip", table="filter", chain="FORWARD"))
    return tuple(found)


def warnings(netfilter: Netfilter) -> tuple[str, ...]:
    """Return one sentence for each such chain."""
    return tuple(
        f"another firewall drops forwarded packets by default ({chain}): "
        "containers can't reach the outside, published ports can't be reached from it; "
        f"allow them with: {chain.remedy}"
        for chain in dropping_chains(netfilter)
    )


def _dropping_chains(netfilter: Netfilter) -> Iterator[tuple[str, str, str]]:
    """Yield family, table and name of the nftables chains (iptables-nft's too) that drop by policy."""
    names = {number: name for name, number in FAMILIES.items() if name in {"inet", "ip", "ip6"}}
    for family, found in netfilter.dump(NFNL_SUBSYS_NFTABLES, nft.GETCHAIN):
        hook = attributes(found.get(nft.NFTA_CHAIN_HOOK, b"")).get(nft.NFTA_HOOK_HOOKNUM, b"")
        policy = found.get(nft.NFTA_CHAIN_POLICY, b"")
        if (
            family not in names
            or hook != struct.pack(">I", FORWARD)
            or policy != struct.pack(">I", nft.NF_DROP)
        ):
            continue
        table, chain = (
            found[kind].rstrip(b"\0").decode() for kind in (nft.NFTA_CHAIN_TABLE, nft.NFTA_CHAIN_NAME)
        )
        if not table.startswith(PREFIX) and not _names_our_bridges(netfilter, family, table):
            yield names[family], table, chain


def _names_our_bridges(netfilter: Netfilter, family: int, table: str) -> bool:
    """Tell whether any rule of the table names our bridges: somebody has seen to it."""
    rules = netfilter.dump(NFNL_SUBSYS_NFTABLES, nft.GETRULE, family, text(nft.NFTA_RULE_TABLE, table))
    return any(OUR_INTERFACES in value for _family, found in rules for value in found.values())


def _legacy_policy_drops() -> bool:
    """Tell whether the old iptables has FORWARD policy DROP and no rule about our bridges.

    Only asks when the table exists: asking would create it. Layouts: linux/netfilter_ipv4/ip_tables.h.
    """
    with open("/proc/net/ip_tables_names", encoding="ascii") as file:
        if "filter" not in file.read().split():
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sock:
        info = _INFO.unpack(_getsockopt(sock, IPT_SO_GET_INFO, b"filter".ljust(_INFO.size, b"\0")))
        underflow, size = info[7 + FORWARD], info[13]
        head = struct.pack("=32sI4x", b"filter", size)
        entries = _getsockopt(sock, IPT_SO_GET_ENTRIES, head + bytes(size))[len(head) :]
    (verdict,) = struct.unpack_from("=i", entries, underflow + _ENTRY + _TARGET)
    return bool(verdict == _VERDICT_DROP) and OUR_INTERFACES not in entries


def _getsockopt(sock: socket.socket, option: int, question: bytes) -> bytes:
    """Call getsockopt(2) with a buffer that is read before it is written; Python's can't. Raises OSError."""
    buffer = ctypes.create_string_buffer(question, len(question))
    length = ctypes.c_uint32(len(question))
    libc.call("getsockopt", sock.fileno(), SOL_IP, option, buffer, ctypes.byref(length))
    return buffer.raw
