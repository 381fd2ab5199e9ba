"""What can go wrong on a network, on purpose: in a container's own namespace, on what it sends and what it receives.

Packets that are to be lost are dropped where they arrive: whoever sends them isn't told, as on a real wire. All of it
goes with the namespace, when the container ends.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking import netns
from pycompose.networking.firewall import nft
from pycompose.networking.firewall.families import IPV4, IPV6
from pycompose.networking.netlink import qdisc
from pycompose.networking.netlink.nfnetlink import Netfilter, Transaction
from pycompose.networking.netlink.rtnetlink import Netlink

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "pycompose_faults"
# Before anything else looks at a packet, and connections are tracked: linux/netfilter_ipv4.h.
PRIORITY_RAW = -300
LOT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with a container's network; the defaults are nothing.

    What it sends is delayed and held to a rate (0: any). Of what it receives, `loss` (0 to 1) is lost, and all from the
    addresses `deaf_to`; with `only_from`, all but what comes from these subnets.
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    bytes_per_s: int = 0
    loss: float = 0.0
    deaf_to: frozenset[str] = frozenset()
    only_from: frozenset[str] = frozenset()

    @property
    def drops(self) -> bool:
        """Whether packets are lost."""
        return bool(self.loss or self.deaf_to or self.only_from)


def apply(pin: Path, faults: Faults) -> None:
    """Make the network of the namespace pinned at `pin` this faulty, whatever it was. Raises NetworkError."""
    netns.enter(pin, lambda: _apply(faults))


def _apply(faults: Faults) -> None:
    links = [name for _, name in socket.if_nameindex() if name != "lo"]
    with Netlink() as netlink:
        for link in links:
            if faults.delay_ns or faults.jitter_ns:
                qdisc.set_delay(netlink, link, faults.delay_ns, faults.jitter_ns, faults.bytes_per_s)
            elif faults.bytes_per_s:
                qdisc.set_rate(netlink, link, faults.bytes_per_s)
            else:
                qdisc.reset(netlink, link)
    with Netfilter() as netfilter:
        transaction = Transaction()
        table = nft.Table(transaction, "inet", TABLE)
        if faults.drops:
            table.create("faults of pycompose.testing", replace=True)
            _drops(table, faults)
        else:
            table.delete()
        netfilter.commit(transaction)


def _drops(table: nft.Table, faults: Faults) -> None:
    table.base_chain("arriving", "filter", "prerouting", PRIORITY_RAW, "what is lost on the way in")
    loopback = nft.meta(nft.META_IIFNAME) + nft.compare(nft.ifname("lo"))
    table.rule("arriving", "its own", loopback, nft.accept())
    for family in (IPV4, IPV6):
        kind = nft.SetType((family.type,))
        deaf = [nft.address(a) for a in sorted(faults.deaf_to) if (":" in a) == (family is IPV6)]
        if deaf:
            table.set(f"deaf_to_{family.name}", kind, deaf)
            source = family.match() + family.load_source()
            table.rule("arriving", "partition", source, nft.lookup(f"deaf_to_{family.name}"), nft.drop())
        if faults.only_from:
            near = [subnet for subnet in sorted(faults.only_from) if (":" in subnet) == (family is IPV6)]
            if near:
                table.interval_set(f"near_{family.name}", kind, near)
                source = family.match() + family.load_source()
                absent = nft.lookup(f"near_{family.name}", absent=True)
                table.rule("arriving", "cut off", source, absent, nft.drop())
            else:
                table.rule("arriving", "cut off", family.match(), nft.drop())
    if faults.loss:
        table.rule("arriving", "loss", nft.chance(round(faults.loss * LOT), LOT), nft.drop())
