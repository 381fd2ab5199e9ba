"""The nftables table of one project: isolation, published ports, source NAT.

One table per project makes creating, replacing and deleting one message each, without a lock between
projects. `drop` is final over all tables and `accept` only ends our own chain, so no table weakens another.

```
chain        hook, priority            what it does
guard        prerouting, raw           drops packets to 127.0.0.0/8 that did not come from lo: route_localnet
                                       opens it to neighbours (CVE-2020-8558); drops packets to container
                                       addresses that did not come from the project's bridges (moby #45610)
prerouting   prerouting, dstnat        from elsewhere: published host ports become container addresses
output       output, dstnat            from this machine: the same
published    (jumped to by both)       the port maps: first those of one address, then those of every address
postrouting  postrouting, srcnat       masquerades loopback addresses into a network, a container that calls
                                       itself through a host port (hairpin), and the way out into the world
forward      forward, filter           accepts answers, traffic within a network, to published ports, and to
                                       networks that are open or routed (gateway_mode); drops
                                       one network to another, all to and from internal ones, and what a
                                       container sends under an address that isn't reached through its network
```
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from typing import TYPE_CHECKING

from pycompose.engine.digests import sha256
from pycompose.engine.errors import NetworkError
from pycompose.networking.firewall import gateway_modes, nft
from pycompose.networking.firewall.families import IPV4, IPV6, subnets_of
from pycompose.networking.netlink.nfnetlink import Transaction
from pycompose.networking.netns import write_sysctls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.firewall.families import Family
    from pycompose.networking.model import NetworkState, OpenPort, PublishedPort
    from pycompose.networking.netlink.nfnetlink import Netfilter

PREFIX = "pyc_"
LONGEST_NAME = 63
PRIORITY_RAW, PRIORITY_DSTNAT, PRIORITY_FILTER, PRIORITY_SRCNAT = -300, -100, 0, 100
ANY = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, never bound

IFNAME = nft.SetType((nft.TYPE_IFNAME,))
IFNAME_PAIR = nft.SetType((nft.TYPE_IFNAME, nft.TYPE_IFNAME))


def table_name(project: str) -> str:
    """Return the name of the project's table, cut to a readable length with a hash of the rest."""
    name = PREFIX + project
    if len(name) <= LONGEST_NAME:
        return name
    return name[: LONGEST_NAME - 13] + "-" + sha256(project.encode()).hexdigest()[:12]


def apply(
    netfilter: Netfilter,
    project: str,
    networks: Sequence[NetworkState],
    published: Sequence[PublishedPort],
    opened: Sequence[OpenPort] = (),
) -> None:
    """Replace the project's table. Raises NetworkError naming the object that the kernel refused."""

    def replacement(*, sources: bool) -> Transaction:
        """Return what replaces the table; with `sources` forged source addresses are dropped."""
        transaction = Transaction()
        table = nft.Table(transaction, "inet", table_name(project))
        table.create(f"pycompose project {project}", replace=True)
        RuleSet(table, networks, published, opened).build(sources=sources)
        return transaction

    try:
        netfilter.commit(replacement(sources=True))
    except NetworkError as exc:
        if not isinstance(exc.__cause__, OSError) or exc.__cause__.errno != errno.EOPNOTSUPP:
            raise
        netfilter.commit(replacement(sources=False))  # Linux before 5.19


def remove(netfilter: Netfilter, project: str) -> None:
    """Delete the project's table; no error when there is none. Raises NetworkError."""
    remove_table(netfilter, table_name(project))


def remove_table(netfilter: Netfilter, name: str) -> None:
    """Delete the table `name` of family inet; no error when there is none."""
    transaction = Transaction()
    table = nft.Table(transaction, "inet", name)
    table.delete()
    netfilter.commit(transaction)


def allow_loopback(networks: Sequence[NetworkState], published: Sequence[PublishedPort]) -> None:
    """Let 127.0.0.1 be translated to container addresses: route_localnet, on the bridges that need it.

    The guard chain closes what that opens, so this comes after `apply`. Raises NetworkError.
    """
    targets = [
        ipaddress.ip_address(port.container_ip)
        for port in published
        if port.host_ip in ANY or port.host_ip.startswith("127.")
    ]
    keys = {
        f"ipv4/conf/{network.bridge}/route_localnet": "1"
        for network in networks
        if network.subnet and any(target in ipaddress.ip_network(network.subnet) for target in targets)
    }
    try:
        write_sysctls(keys)
    except OSError as exc:
        raise NetworkError(f"route_localnet: switch on: {exc.strerror}") from exc


def forbid_loopback(network: NetworkState) -> None:
    """Take back what `allow_loopback` has opened, for a network that nobody is on any more: the guard may go, too."""
    if network.bridge:
        with contextlib.suppress(OSError):  # the bridge has gone
            write_sysctls({f"ipv4/conf/{network.bridge}/route_localnet": "0"})


class RuleSet:
    """One project's rules; the order of rules within a chain is the order of the calls."""

    def __init__(
        self,
        table: nft.Table,
        networks: Sequence[NetworkState],
        published: Sequence[PublishedPort],
        opened: Sequence[OpenPort] = (),
    ) -> None:
        self._table = table
        self._networks = networks
        self._opened = opened
        self._families = [IPV4]
        if any(network.subnet6 for network in networks):
            self._families.append(IPV6)
        inner = [net for network in networks if network.internal for net in subnets_of(network)]
        self._published = [
            port
            for port in published
            if not any(ipaddress.ip_address(port.container_ip) in net for net in inner)
        ]

    def build(self, *, sources: bool) -> None:
        """Add sets first: rules refer to them."""
        bridges = [network.bridge for network in self._networks]
        self._table.set("bridges", IFNAME, map(nft.ifname, bridges))
        self._table.set(
            "internal", IFNAME, [nft.ifname(net.bridge) for net in self._networks if net.internal]
        )
        self._table.set("same", IFNAME_PAIR, [nft.ifname(name) * 2 for name in bridges])
        for family in self._families:
            self._address_sets(family)
        self._guard()
        self._destinations()
        self._sources()
        self._forward(sources=sources)

    def _address_sets(self, family: Family) -> None:
        key = nft.SetType((family.type,))
        local = [
            (network, str(net)) for network in self._networks for net in subnets_of(network, family.version)
        ]
        # Answers come to the own addresses of a network without masquerading; `forward` guards that one alone.
        version = family.version
        guarded = [net for network, net in local if network.is_guarded(version)]
        self._table.interval_set(f"guarded{version}", key, guarded)
        plain = [net for network, net in local if network.translates(version) and not network.source(version)]
        self._table.interval_set(f"out{version}", key, plain)
        everywhere: dict[bytes, bytes] = {}
        bound: dict[bytes, bytes] = {}
        for port in self._published:
            if ipaddress.ip_address(port.container_ip).version != family.version:
                continue
            where = nft.protocol(port.protocol) + nft.port(port.host_port)
            target = nft.address(port.container_ip) + nft.port(port.container_port)
            if port.host_ip in ANY:
                everywhere[where] = target
            elif ipaddress.ip_address(port.host_ip).version == family.version:
                bound[nft.address(port.host_ip) + where] = target
        value = nft.SetType((family.type, nft.TYPE_PORT))
        place = (nft.TYPE_PROTO, nft.TYPE_PORT)
        self._table.map(f"ports{family.version}", nft.SetType(place), value, everywhere)
        self._table.map(f"bound{family.version}", nft.SetType((family.type, *place)), value, bound)

    def _guard(self) -> None:
        chain = "guard"
        self._table.base_chain(chain, "filter", "prerouting", PRIORITY_RAW, "who may address what")
        self._table.rule(
            chain,
            "loopback addresses from outside",
            IPV4.match(),
            nft.meta(nft.META_IIFNAME),
            nft.compare(nft.ifname("lo"), nft.CMP_NEQ),
            IPV4.load_destination(),
            nft.mask(b"\xff\0\0\0"),
            nft.compare(b"\x7f\0\0\0"),
            nft.counter(),
            nft.drop(),
        )
        for family in self._families:
            self._table.rule(
                chain,
                "container addresses from outside",
                family.match(),
                nft.meta(nft.META_IIFNAME),
                nft.lookup("bridges", absent=True),
                family.load_destination(),
                nft.lookup(f"guarded{family.version}"),
                nft.counter(),
                nft.drop(),
            )

    def _destinations(self) -> None:
        self._table.chain("published", "host ports to containers")
        first = nft.REG32_00
        for family in self._families:
            after = first + family.registers
            to_target = nft.dnat(family.name, first, after)
            self._table.rule(
                "published",
                "ports on one address",
                family.match(),
                family.load_destination(first),
                nft.meta(nft.META_L4PROTO, after),
                nft.payload(nft.PAYLOAD_TRANSPORT_HEADER, 2, 2, after + 1),
                nft.lookup(f"bound{family.version}", first, into=first),
                to_target,
            )
            self._table.rule(
                "published",
                "ports on every address",
                family.match(),
                nft.meta(nft.META_L4PROTO, first),
                nft.payload(nft.PAYLOAD_TRANSPORT_HEADER, 2, 2, first + 1),
                nft.lookup(f"ports{family.version}", first, into=first),
                to_target,
            )
        local = (nft.fib_type(nft.FIB_F_DADDR), nft.compare(nft.host32(nft.RTN_LOCAL)), nft.jump("published"))
        for hook in ("prerouting", "output"):
            self._table.base_chain(hook, "nat", hook, PRIORITY_DSTNAT, "published ports")
            if hook == "output" and IPV6 in self._families:
                self._table.rule(
                    hook,
                    "[::1] can't leave the machine: left to the relay",
                    IPV6.match(),
                    IPV6.load_destination(),
                    nft.compare(nft.address("::1")),
                    nft.accept(),
                )
            self._table.rule(hook, "addresses of this machine", *local)

    def _sources(self) -> None:
        chain = "postrouting"
        self._table.base_chain(chain, "nat", "postrouting", PRIORITY_SRCNAT, "source addresses")
        self._table.rule(
            chain,
            "from a loopback address into a network",
            IPV4.match(),
            nft.meta(nft.META_OIFNAME),
            nft.lookup("bridges"),
            IPV4.load_source(),
            nft.mask(b"\xff\0\0\0"),
            nft.compare(b"\x7f\0\0\0"),
            nft.masquerade(),
        )
        for network in self._networks:
            for net in subnets_of(network):
                family = IPV4 if net.version == 4 else IPV6
                inside = nft.mask(net.netmask.packed) + nft.compare(net.network_address.packed)
                # By address, not interface: with br_netfilter the incoming interface is empty here.
                self._table.rule(
                    chain,
                    f"hairpin in {network.name}"[:120],
                    _is_published(),
                    family.match(),
                    family.load_source(),
                    inside,
                    family.load_destination(),
                    inside,
                    nft.masquerade(),
                )
        gateway_modes.add_sources(self._table, chain, self._networks)
        for family in self._families:
            self._table.rule(
                chain,
                "out into the world",
                family.match(),
                family.load_source(),
                nft.lookup(f"out{family.version}"),
                nft.meta(nft.META_OIFNAME),
                nft.lookup("bridges", absent=True),
                nft.masquerade(),
            )

    def _forward(self, *, sources: bool) -> None:
        chain = "forward"
        incoming, outgoing = nft.meta(nft.META_IIFNAME), nft.meta(nft.META_OIFNAME)
        known = nft.mask(nft.host32(nft.CT_STATE_ESTABLISHED | nft.CT_STATE_RELATED))
        self._table.base_chain(chain, "filter", "forward", PRIORITY_FILTER, "between networks")
        self._table.rule(
            chain,
            "answers",
            nft.ct(nft.CT_STATE),
            known,
            nft.compare(nft.host32(0), nft.CMP_NEQ),
            nft.accept(),
        )
        self._table.rule(
            chain,
            "within a network",
            nft.meta(nft.META_IIFNAME, nft.REG_1),
            nft.meta(nft.META_OIFNAME, nft.REG_2),
            nft.lookup("same", nft.REG_1),
            nft.accept(),
        )
        for where, text in ((incoming, "out of an internal network"), (outgoing, "into an internal network")):
            self._table.rule(chain, text, where, nft.lookup("internal"), nft.counter(), nft.drop())
        if sources:
            # Behind the answers: those of a container on several networks may leave by another one than they came.
            text = "forged source addresses"
            self._table.rule(
                chain, text, incoming, nft.lookup("bridges"), nft.no_way_back(), nft.counter(), nft.drop()
            )
        self._table.rule(
            chain, "published ports", outgoing, nft.lookup("bridges"), _is_published(), nft.accept()
        )
        for family in self._families:
            gateway_modes.let_in(self._table, chain, family, self._networks, self._opened)
        self._table.rule(
            chain, "into a network from outside", outgoing, nft.lookup("bridges"), nft.counter(), nft.drop()
        )


def _is_published() -> bytes:
    status = nft.mask(nft.host32(nft.IPS_DST_NAT))
    return nft.ct(nft.CT_STATUS) + status + nft.compare(nft.host32(0), nft.CMP_NEQ)
