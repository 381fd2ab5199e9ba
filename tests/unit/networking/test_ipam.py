"""Subnets and addresses: nothing overlaps, nothing is handed out twice, nothing is lost."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.errors import AddressesExhausted, NetworkError
from pycompose.networking import ipam
from pycompose.networking.model import Pool

V4_NETS = st.builds(
    lambda number, prefix: ipaddress.IPv4Network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(8, 32),
)


def net(text: str) -> ipam.Network:
    return ipaddress.ip_network(text)


def test_the_order_is_dockers() -> None:
    taken: list[ipam.Network] = []
    for _ in range(33):
        taken.append(ipam.choose_subnet(ipam.AddressSpace(taken=taken)))

    texts = [str(item) for item in taken]
    assert texts[:2] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert texts[14:17] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    assert texts[30] == "192.168.240.0/20"
    assert texts[31:] == ["10.128.0.0/24", "10.128.1.0/24"]  # where Docker gives up


@given(st.lists(V4_NETS, max_size=30))
def test_a_chosen_subnet_overlaps_nothing(taken: list[ipaddress.IPv4Network]) -> None:
    pools = ipam.parse_pools("172.16.0.0/12/16,10.0.0.0/8/24")
    try:
        chosen = ipam.choose_subnet(ipam.AddressSpace(pools=pools, taken=taken))
    except AddressesExhausted:
        candidates = [sub for pool in pools[:1] for sub in pool.base.subnets(new_prefix=pool.size)]
        assert all(any(candidate.overlaps(other) for other in taken) for candidate in candidates)
        return

    assert not any(chosen.overlaps(other) for other in taken)


@given(st.lists(V4_NETS, max_size=12))
def test_a_free_subnet_is_found_if_there_is_one(taken: list[ipaddress.IPv4Network]) -> None:
    pools = ipam.parse_pools("172.16.0.0/13/16")
    free = [
        sub for sub in pools[0].base.subnets(new_prefix=16) if not any(sub.overlaps(other) for other in taken)
    ]
    if free:
        assert ipam.choose_subnet(ipam.AddressSpace(pools=pools, taken=taken)) == free[0]
    else:
        with pytest.raises(AddressesExhausted):
            ipam.choose_subnet(ipam.AddressSpace(pools=pools, taken=taken))


def test_a_vpns_default_route_in_halves_blocks_nothing() -> None:
    taken = [net("0.0.0.0/1"), net("128.0.0.0/1"), net("::/0")]

    assert ipam.choose_subnet(ipam.AddressSpace(taken=taken)) == net("172.17.0.0/16")
    assert ipam.choose_subnet(ipam.AddressSpace(taken=[net("172.0.0.0/8")])) == net("192.168.0.0/20")


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_a_network_comes_back_to_its_subnet(steps: list[tuple[int, bool]]) -> None:
    """Unless somebody else is there by then; nobody gets a smaller one because others had one before."""
    pools = ipam.parse_pools("10.0.0.0/14/16,10.8.0.0/22/24")
    last: dict[int, ipaddress.IPv4Network] = {}
    up: dict[int, ipaddress.IPv4Network] = {}
    for name, on in steps:
        if on and name not in up:
            idle = tuple(subnet for other, subnet in last.items() if other != name)
            space = ipam.AddressSpace(pools=pools, taken=[*up.values()], last=last.get(name), idle=idle)
            if name in last and last[name] not in up.values():
                assert ipam.choose_subnet(space) == last[name]
            elif len(up) < 8:
                plain = ipam.choose_subnet(ipam.AddressSpace(pools=pools, taken=[*up.values()]))
                assert ipam.choose_subnet(space).prefixlen == plain.prefixlen
            else:
                continue
            up[name] = ipam.choose_subnet(space)
            assert not any(up[name].overlaps(net) for other, net in up.items() if other != name)
            last.pop(name, None)
            last[name] = up[name]
        elif not on:
            up.pop(name, None)


def test_who_is_new_gets_what_nobody_had_then_the_longest_idle() -> None:
    pools = ipam.parse_pools("10.0.0.0/14/16,10.8.0.0/22/24")
    idle = [ipaddress.IPv4Network(f"10.{number}.0.0/16") for number in (2, 0, 3)]

    assert ipam.choose_subnet(ipam.AddressSpace(pools=pools, idle=idle)) == net("10.1.0.0/16")
    space = ipam.AddressSpace(pools=pools, idle=idle, taken=[net("10.1.0.0/16")])
    assert ipam.choose_subnet(space) == net("10.2.0.0/16")


@pytest.mark.parametrize("text", ("10.0.0.0/8", "x/8/24", "10.0.0.0/24/16", "10.0.0.0/8/31", ""))
def test_pools_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(NetworkError, match="address pool") as caught:
        ipam.parse_pools(text)

    assert caught.value.hint == "write BASE/PREFIX/SIZE: 10.0.0.0/8/24"


@given(st.integers(20, 30), st.sets(st.integers(0, 4095), max_size=200))
def test_an_address_is_usable_free_and_the_lowest(prefix: int, offsets: set[int]) -> None:
    subnet = ipaddress.IPv4Network(f"10.1.0.0/{prefix}")
    hosts = [str(host) for host in subnet.hosts()]
    taken = {str(subnet[offset]) for offset in offsets if offset < subnet.num_addresses}
    free = [host for host in hosts if host not in taken]
    if free:
        assert ipam.choose_address(subnet, subnet, taken) == free[0]
    else:
        with pytest.raises(AddressesExhausted, match="lease address"):
            ipam.choose_address(subnet, subnet, taken)


def test_families_do_not_disturb_each_other() -> None:
    six = net("fd00::/64")

    assert ipam.choose_address(six, six, {"10.0.0.1", "fd00::1"}) == "fd00::2"
    assert ipam.choose_gateway(six, ()) == "fd00::1"


def test_an_ip_range_bounds_leases() -> None:
    subnet, inner = net("10.0.0.0/24"), net("10.0.0.128/30")
    taken: set[str] = set()
    for _ in range(4):
        taken.add(ipam.choose_address(subnet, inner, taken))

    assert taken == {f"10.0.0.{n}" for n in range(128, 132)}
    with pytest.raises(AddressesExhausted, match=r"subnet 10\.0\.0\.128/30"):
        ipam.choose_address(subnet, inner, taken)


def test_a_pool_is_completed() -> None:
    block = ipam.complete(Pool(subnet="10.0.0.0/24", aux={"a": "10.0.0.1"}))

    assert (str(block.ip_range), block.gateway, block.aux) == ("10.0.0.0/24", "10.0.0.2", {"a": "10.0.0.1"})


@pytest.mark.parametrize("subnet", ("10.0.0.4/31", "fd00::4/127"))
def test_two_addresses_are_a_gateway_and_a_container(subnet: str) -> None:
    """RFC 3021, RFC 6164."""
    block = ipam.complete(Pool(subnet=subnet))
    first, second = ipaddress.ip_network(subnet)

    assert block.gateway == str(first)
    assert ipam.choose_address(block.subnet, block.ip_range, [block.gateway]) == str(second)


def test_derived_ipv6_subnets_are_local_stable_and_different() -> None:
    one = ipam.derive_subnet6("p", "a")

    assert one == ipam.derive_subnet6("p", "a") != ipam.derive_subnet6("p", "b")
    assert one.prefixlen == 64
    assert one.subnet_of(ipaddress.IPv6Network("fd00::/8"))


def test_random_macs_are_local_and_unicast() -> None:
    for _ in range(100):
        assert int(ipam.random_mac()[:2], 16) & 0b11 == 0b10
