"""Choosing subnets and addresses: pure, so that the rules can be tested without a kernel.

The pools and their order are Docker's. The last one is ours: Docker stops after 31 networks with "no
available, non-overlapping IPv4 address pool", we go on with /24s.
"""

from __future__ import annotations

import _socket as socket  # the module around it brings selectors and more: 3 ms of `network create`
import contextlib
import ipaddress
import itertools
import os
from typing import TYPE_CHECKING, TypeAlias

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.digests import sha256
from pycompose.engine.errors import AddressesExhausted, NetworkError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from pycompose.networking.model import Pool

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# A route this wide is a default route in disguise (VPNs route 0.0.0.0/1 and 128.0.0.0/1), not a neighbour.
WIDEST_ROUTE = 8


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A block that is cut into subnets of prefix length `size`."""

    base: ipaddress.IPv4Network
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSpace:
    """Where a new network may lie: what is chosen for it comes out of `pools`, and nothing may overlap `taken`.

    `last` is the subnet that the last network of its name had, `idle` are those of other names, the longest idle first.
    """

    pools: Sequence[AddressPool] = field(default_factory=lambda: DEFAULT_POOLS)
    taken: Collection[Network] = ()
    last: ipaddress.IPv4Network | None = None
    idle: Sequence[ipaddress.IPv4Network] = ()


def parse_pools(text: str) -> tuple[AddressPool, ...]:
    """Return the pools of "10.0.0.0/8/24,192.168.0.0/16/20": base and size of each, comma separated.

    Raises NetworkError.
    """
    pools = []
    for item in text.split(","):
        base, _, size = item.strip().rpartition("/")
        try:
            pool = AddressPool(ipaddress.IPv4Network(base), int(size))
        except ValueError as exc:
            raise NetworkError(
                f"address pool {item.strip()!r}: parse: {exc}", hint="write BASE/PREFIX/SIZE: 10.0.0.0/8/24"
            ) from exc
        if not pool.base.prefixlen <= pool.size <= 30:
            raise NetworkError(
                f"address pool {item.strip()!r}: parse: size must be {pool.base.prefixlen} to 30",
                hint="write BASE/PREFIX/SIZE: 10.0.0.0/8/24",
            )
        pools.append(pool)
    return tuple(pools)


DEFAULT_POOLS: tuple[AddressPool, ...] = parse_pools(
    "172.17.0.0/16/16,172.18.0.0/16/16,172.19.0.0/16/16,172.20.0.0/14/16,172.24.0.0/14/16,172.28.0.0/14/16,"
    "192.168.0.0/16/20,10.128.0.0/9/24"
)


def choose_subnet(space: AddressSpace) -> ipaddress.IPv4Network:
    """Return a subnet of the pools that overlaps nothing taken: the last one of this name, or the first nobody had.

    Those that other names had are given away, the longest idle first, before any that are smaller. Raises
    AddressesExhausted.
    """
    ranges = _ranges(space.taken)
    if space.last and _offers(space.pools, space.last) and _is_free(space.last, ranges):
        return space.last
    nobodys = _ranges([*space.taken, *space.idle])
    for _size, group in itertools.groupby(space.pools, key=lambda pool: pool.size):
        pools = list(group)
        if (found := _first_free(pools, nobodys)) is not None:
            return found
        for subnet in space.idle:
            if _offers(pools, subnet) and _is_free(subnet, ranges):
                return subnet
        if (found := _first_free(pools, ranges)) is not None:
            return found
    raise AddressesExhausted(
        "address pools: choose subnet: every one overlaps a network or a route of this machine",
        hint="remove unused networks (pycompose down), or set PYCOMPOSE_ADDRESS_POOLS=BASE/PREFIX/SIZE,…",
    )


_Ranges: TypeAlias = list[tuple[int, int]]


def _ranges(taken: Iterable[Network]) -> _Ranges:
    """Return first and last address of each IPv4 network that isn't a default route in disguise, in order."""
    return _merged(
        (int(net.network_address), int(net.broadcast_address))
        for net in taken
        if isinstance(net, ipaddress.IPv4Network) and net.prefixlen >= WIDEST_ROUTE
    )


def _first_free(pools: Iterable[AddressPool], ranges: _Ranges) -> ipaddress.IPv4Network | None:
    for pool in pools:
        step = 1 << (32 - pool.size)
        first, last = int(pool.base.network_address), int(pool.base.broadcast_address)
        for low, high in ranges:
            if low >= first + step:
                break
            if high >= first:
                first = (high // step + 1) * step
        if first <= last:
            return ipaddress.IPv4Network((first, pool.size))
    return None


def _offers(pools: Iterable[AddressPool], subnet: ipaddress.IPv4Network) -> bool:
    return any(pool.size == subnet.prefixlen and subnet.subnet_of(pool.base) for pool in pools)


def _is_free(subnet: ipaddress.IPv4Network, ranges: _Ranges) -> bool:
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    return not any(low <= last and high >= first for low, high in ranges)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of inclusive ranges, sorted and disjoint."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def derive_subnet6(project: str, name: str) -> ipaddress.IPv6Network:
    """Return the unique local /64 (RFC 4193) of a network that asks for IPv6 without giving a subnet."""
    digest = sha256(f"{project}\0{name}".encode()).digest()
    return ipaddress.IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))


def usable(subnet: Network) -> tuple[int, int]:
    """Return the first and last address (as numbers) that a host may have in `subnet`."""
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if subnet.num_addresses <= 2:
        return first, last
    # IPv6 has no broadcast address, but the all-zero one is the subnet-router anycast address.
    return first + 1, last - (1 if subnet.version == 4 else 0)


def choose_gateway(subnet: Network, avoid: Collection[str]) -> str:
    """Return the first usable address that is not in `avoid`; raises AddressesExhausted."""
    return choose_address(subnet, subnet, avoid)


def choose_address(subnet: Network, ip_range: Network, taken: Collection[str]) -> str:
    """Return the lowest usable address of `ip_range` that is not in `taken`.

    Raises AddressesExhausted.
    """
    low, high = usable(subnet)
    low = max(low, int(ip_range.network_address))
    high = min(high, int(ip_range.broadcast_address))
    family, kind = (
        (socket.AF_INET, ipaddress.IPv4Address)
        if subnet.version == 4
        else (socket.AF_INET6, ipaddress.IPv6Address)
    )
    # inet_pton, because ip_address() takes ten times as long and this runs over every lease.
    used = {
        int.from_bytes(socket.inet_pton(family, text), "big")
        for text in taken
        if (":" in text) == (family == socket.AF_INET6)
    }
    number = low
    while number in used:
        number += 1
    if number > high:
        raise AddressesExhausted(
            f"subnet {ip_range}: lease address: all {max(high - low + 1, 0)} are taken",
            hint="give the network a larger ipam subnet or ip_range",
        )
    return str(kind(number))


@dataclass(frozen=True, slots=True)
class AddressBlock:
    """One family's part of a network, checked: what `ipam.config` means."""

    subnet: Network
    ip_range: Network
    gateway: str
    aux: dict[str, str]


def complete(pool: Pool, subnet: Network | None = None) -> AddressBlock:
    """Return what a pool that has no problems means; `subnet` stands in when it has none. Raises AddressesExhausted."""
    net = subnet or ipaddress.ip_network(pool.subnet)
    inner = ipaddress.ip_network(pool.ip_range) if pool.ip_range else net
    aux = {key: _canonical(text) for key, text in pool.aux.items()}
    gateway = _canonical(pool.gateway) if pool.gateway else choose_gateway(net, aux.values())
    return AddressBlock(net, inner, gateway, aux)


def check_static(name: str, address: str, subnet: str, taken: Mapping[str, str], *, allowed: bool) -> str:
    """Return the address a service asked for, in canonical form; `taken` are those of others, and who has each.

    Raises NetworkError if it can't be had.
    """
    if not subnet or not allowed:
        raise NetworkError(
            f"network {name}: lease {address}: a fixed address needs a subnet",
            hint="give the network ipam.config[].subnet in the compose file",
        )
    text = _member(name, "lease", address, ipaddress.ip_network(subnet))
    if text in taken:
        raise NetworkError(
            f"network {name}: lease {text}: the address is taken by {taken[text]}",
            hint=f"ask for another address of {subnet}, or for none",
        )
    return text


def check_link_local(name: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """Return link-local addresses (RFC 3927, RFC 4291) in canonical form. Raises NetworkError for others."""
    found = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            address = None
        if address is None or not address.is_link_local:
            raise NetworkError(
                f"network {name}: invalid link-local IP address {text}",
                hint="one of 169.254.0.0/16 or fe80::/64",
            )
        found.append(str(address))
    return tuple(found)


def random_mac() -> str:
    """Return a random locally administered unicast MAC address."""
    first, *rest = os.urandom(6)
    return ":".join(f"{byte:02x}" for byte in ((first & 0xFC) | 0x02, *rest))


def chosen(pools: Iterable[Pool]) -> list[Network]:
    """Return the subnets that the user has chosen; what is no subnet is left to settings.py."""
    found = []
    for pool in pools:
        with contextlib.suppress(ValueError):
            found.append(ipaddress.ip_network(pool.subnet, strict=False))
    return found


def overlaps(subnets: Iterable[Network], routes: Iterable[Network]) -> Iterator[tuple[Network, Network]]:
    """Yield each pair of a subnet and a narrow enough route that overlap."""
    for subnet in subnets:
        for route in routes:
            if route.version == subnet.version and route.prefixlen >= WIDEST_ROUTE and subnet.overlaps(route):
                yield subnet, route


def _canonical(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _member(name: str, what: str, text: str, net: Network) -> str:
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError as exc:
        raise NetworkError(f"network {name}: {what}: {exc}") from exc
    low, high = usable(net)
    if address.version != net.version or not low <= int(address) <= high:
        raise NetworkError(f"network {name}: {what}: {text} is not a host address of {net}")
    return str(address)
