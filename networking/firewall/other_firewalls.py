"""Other firewalls on the machine: we can't accept what they drop, but we can say so.

A packet that any forward chain drops is lost. Docker, ufw and hand-made firewalls set the policy of theirs
to DROP; firewalld, and what distributions install as iptables' rules, end theirs with a rule that refuses the rest.
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
from pycompose.networking.netlink.attributes import attribute_values, attributes, text
from pycompose.networking.netlink.nfnetlink import FAMILIES, NFNL_SUBSYS_NFTABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.networking.netlink.nfnetlink import Netfilter

FORWARD = nft.NF_INET_HOOKS["forward"]
OUR_INTERFACES = b"pc-"
# Docker leaves it to others, and asks it first.
DOCKER_CHAIN = "DOCKER-USER"
# Interfaces of Docker's networks, in iptables' words: who goes there is judged by Docker's own rules.
DOCKER_BRIDGES = ("docker0", "br-+")

SOL_IP = 0
IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES = 64, 65
_INFO = struct.Struct("=32sI5I5I2I")
_CONDITIONS, _OFFSETS, _ENTRY, _TARGET = 84, 88, 112, 32
_VERDICT_DROP = -1

# What a rule may have and still be for every packet.
_NO_CONDITION = (b"counter", b"log")


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppingChain:
    """A chain of somebody else's that drops, or rejects, every forwarded packet that its rules don't accept."""

    family: str
    table: str
    chain: str
    legacy: bool = False
    beside_docker: bool = False

    @property
    def program(self) -> str:
        """The iptables that this chain is of, "" for chains of nft and where iptables isn't installed."""
        return program_of(self.family, legacy=self.legacy) if self.chain == "FORWARD" else ""

    def __str__(self) -> str:
        return f"chain {self.chain} of table {self.family} {self.table}"

    @property
    def remedy(self) -> str:
        """The commands that let our bridges through."""
        if self.table == "firewalld":
            return "firewall-cmd --permanent --zone=trusted --add-interface=pc-+ && firewall-cmd --reload"
        if self.chain == "FORWARD":
            program = "ip6tables" if self.family == "ip6" else "iptables"
            chain = DOCKER_CHAIN if self.beside_docker else "FORWARD"
            remedies = [f"{program} -I {chain} {way} pc-+ -j ACCEPT" for way in ("-i", "-o")]
            if self.beside_docker:
                remedies += [f"{program} -I {chain} -i pc-+ -o {link} -j RETURN" for link in DOCKER_BRIDGES]
        else:
            rule = f"nft insert rule {self.family} {self.table} {self.chain}"
            remedies = [f"{rule} {way} '\"pc-*\"' accept" for way in ("iifname", "oifname")]
        return " && ".join(remedies)


def dropping_chains(netfilter: Netfilter) -> tuple[DroppingChain, ...]:
    """Return the chains that drop forwarded packets unless they know them; none where they can't be read."""
    found: list[DroppingChain] = []
    with contextlib.suppress(OSError):
        found += _dropping_chains(netfilter)
    with contextlib.suppress(OSError, struct.error):
        if _legacy_drops():
            found.append(DroppingChain(family="ip", table="filter", chain="FORWARD", legacy=True))
    return tuple(found)


def program_of(family: str, *, legacy: bool) -> str:
    """Return the iptables that shows the table of `family` ("ip", "ip6"), "" when there is none on the machine."""
    import shutil  # noqa: PLC0415 - most machines have no such chain

    name = {"ip": "iptables", "ip6": "ip6tables"}.get(family, "")
    kind = "legacy" if legacy else "nft"
    return next((found for found in (f"{name}-{kind}", name) if name and shutil.which(found)), "")


def warnings(netfilter: Netfilter) -> tuple[str, ...]:
    """Return one sentence for each such chain."""
    return tuple(
        f"another firewall drops forwarded packets by default ({chain}): "
        "containers can't reach the outside, published ports can't be reached from it; "
        f"allow them with: {chain.remedy}" + (" (or: up --open-firewall)" if chain.program else "")
        for chain in dropping_chains(netfilter)
    )


def _dropping_chains(netfilter: Netfilter) -> Iterator[DroppingChain]:
    """Yield the nftables chains (iptables-nft's too) that drop what they don't know."""
    chains = netfilter.dump(NFNL_SUBSYS_NFTABLES, nft.GETCHAIN)
    docker = DOCKER_CHAIN.encode() + b"\0"
    beside_docker = any(found.get(nft.NFTA_CHAIN_NAME) == docker for _family, found in chains)
    names = {number: name for name, number in FAMILIES.items() if name in {"inet", "ip", "ip6"}}
    for family, found in chains:
        hook = attributes(found.get(nft.NFTA_CHAIN_HOOK, b"")).get(nft.NFTA_HOOK_HOOKNUM, b"")
        if family not in names or hook != struct.pack(">I", FORWARD):
            continue
        table, chain = (
            found[kind].rstrip(b"\0").decode() for kind in (nft.NFTA_CHAIN_TABLE, nft.NFTA_CHAIN_NAME)
        )
        if table.startswith(PREFIX):
            continue
        policy = found.get(nft.NFTA_CHAIN_POLICY, b"") == struct.pack(">I", nft.NF_DROP)
        if _drops_the_rest(netfilter, family, table, chain, policy=policy) and not _names_our_bridges(
            netfilter, family, table
        ):
            yield DroppingChain(family=names[family], table=table, chain=chain, beside_docker=beside_docker)


def _drops_the_rest(netfilter: Netfilter, family: int, table: str, chain: str, *, policy: bool) -> bool:
    """Tell what becomes of a packet that no rule with a condition is about; `policy` is whether the policy drops."""
    which = text(nft.NFTA_RULE_TABLE, table) + text(nft.NFTA_RULE_CHAIN, chain)
    for _family, found in netfilter.dump(NFNL_SUBSYS_NFTABLES, nft.GETRULE, family, which):
        if found.get(nft.NFTA_RULE_CHAIN, b"").rstrip(b"\0") != chain.encode():
            continue  # a kernel that lists the whole table
        drops = _drops_all(found.get(nft.NFTA_RULE_EXPRESSIONS, b""))
        if drops is not None:
            return drops
    return policy


def _drops_all(rule: bytes) -> bool | None:
    """Tell whether a rule drops (or rejects) or accepts every packet, None when it does neither."""
    for element in attribute_values(rule):
        found = attributes(element)
        name = found.get(nft.NFTA_EXPR_NAME, b"").rstrip(b"\0")
        data = attributes(found.get(nft.NFTA_EXPR_DATA, b""))
        if name in _NO_CONDITION or (name == b"match" and data.get(1, b"").startswith(b"comment\0")):
            continue
        if name == b"reject":
            return True
        if name == b"target":
            return True if data.get(1, b"").rstrip(b"\0") in (b"REJECT", b"DROP") else None
        verdict = attributes(
            attributes(data.get(nft.NFTA_IMMEDIATE_DATA, b"")).get(nft.NFTA_DATA_VERDICT, b"")
        )
        code = verdict.get(nft.NFTA_VERDICT_CODE, b"") if name == b"immediate" else b""
        return {struct.pack(">I", nft.NF_DROP): True, struct.pack(">I", nft.NF_ACCEPT): False}.get(code)
    return None


def _names_our_bridges(netfilter: Netfilter, family: int, table: str) -> bool:
    """Tell whether any rule of the table names our bridges: somebody has seen to it."""
    rules = netfilter.dump(NFNL_SUBSYS_NFTABLES, nft.GETRULE, family, text(nft.NFTA_RULE_TABLE, table))
    return any(OUR_INTERFACES in value for _family, found in rules for value in found.values())


def _legacy_drops() -> bool:
    """Tell whether the old iptables drops what is forwarded, by policy or a last rule, and names none of our bridges.

    Only asks when the table exists: asking would create it. Layouts: linux/netfilter_ipv4/ip_tables.h.
    """
    with open("/proc/net/ip_tables_names", encoding="ascii") as file:
        if "filter" not in file.read().split():
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as sock:
        info = _INFO.unpack(_getsockopt(sock, IPT_SO_GET_INFO, b"filter".ljust(_INFO.size, b"\0")))
        first, policy, size = info[2 + FORWARD], info[7 + FORWARD], info[13]
        head = struct.pack("=32sI4x", b"filter", size)
        entries = _getsockopt(sock, IPT_SO_GET_ENTRIES, head + bytes(size))[len(head) :]
    return OUR_INTERFACES not in entries and _legacy_chain_drops(entries, first, policy)


def _legacy_chain_drops(entries: bytes, first: int, policy: int) -> bool:
    """Tell whether the first rule for every packet, of those at `first` up to the one at `policy`, drops or rejects."""
    place = first
    while place <= policy:
        target, following = struct.unpack_from("=HH", entries, place + _OFFSETS)
        if target == _ENTRY and not any(entries[place : place + _CONDITIONS]):
            name = entries[place + target + 2 : place + target + _TARGET - 1].split(b"\0")[0]
            (verdict,) = struct.unpack_from("=i", entries, place + target + _TARGET)
            if name == b"REJECT" or (not name and verdict < 0):
                return bool(name or verdict == _VERDICT_DROP)
        place += following
    return False


def _getsockopt(sock: socket.socket, option: int, question: bytes) -> bytes:
    """Call getsockopt(2) with a buffer that is read before it is written; Python's can't. Raises OSError."""
    buffer = ctypes.create_string_buffer(question, len(question))
    length = ctypes.c_uint32(len(question))
    libc.call("getsockopt", sock.fileno(), SOL_IP, option, buffer, ctypes.byref(length))
    return buffer.raw
