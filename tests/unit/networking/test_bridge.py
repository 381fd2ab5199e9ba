"""How the settings of a network become its state."""

from __future__ import annotations

import ipaddress

import pytest
from pycompose.engine.errors import AddressesExhausted, NetworkError
from pycompose.networking.bridge import BridgeDriver
from pycompose.networking.ipam import AddressSpace, parse_pools
from pycompose.networking.model import NetworkSpec, NetworkState, Pool

BRIDGE = "com.docker.network.bridge."


def made(taken: tuple[str, ...] = (), **settings: object) -> NetworkState:
    spec = NetworkSpec(name="net", project="p", **settings)  # type: ignore[arg-type]
    return BridgeDriver().new_state(spec, AddressSpace(taken=[ipaddress.ip_network(text) for text in taken]))


def test_by_default() -> None:
    """The first free subnet, Docker's names and defaults."""
    state = made(taken=("172.17.0.0/16", "172.18.4.0/24", "0.0.0.0/1"))

    assert (state.subnet, state.ip_range, state.gateway) == ("172.19.0.0/16", "172.19.0.0/16", "172.19.0.1")
    assert (state.subnet6, state.gateway6) == ("", "")
    assert (state.driver, state.bridge, state.mtu) == ("bridge", f"pc-{state.id[:11]}", 1500)
    assert (state.internal, state.isolated_ports, state.masquerade, state.static) == (
        False,
        False,
        True,
        False,
    )
    assert (state.host_binding, state.interface_prefix) == ("", "eth")


def test_options() -> None:
    """Each of Docker's driver options ends in a field; all are kept for `inspect`."""
    options = {
        f"{BRIDGE}name": "br-mine",
        f"{BRIDGE}enable_icc": "0",
        f"{BRIDGE}enable_ip_masquerade": "False",
        f"{BRIDGE}host_binding_ipv4": "127.0.0.1",
        "com.docker.network.driver.mtu": "9000",
        "com.docker.network.container_iface_prefix": "net",
    }
    state = made(options=options, internal=True)

    assert (state.bridge, state.mtu, state.host_binding) == ("br-mine", 9000, "127.0.0.1")
    assert (state.isolated_ports, state.masquerade, state.internal) == (True, False, True)
    assert state.interface_prefix == "net"
    assert state.options == options


def test_given_subnets() -> None:
    """One of each family; addresses of others are reserved, and services may ask for fixed ones."""
    four = Pool(subnet="10.9.0.0/24", ip_range="10.9.0.128/25", gateway="10.9.0.9", aux={"r": "10.9.0.200"})
    state = made(enable_ipv6=True, pools=(four, Pool(subnet="fd09::/64")))

    assert (state.subnet, state.ip_range, state.gateway) == ("10.9.0.0/24", "10.9.0.128/25", "10.9.0.9")
    assert (state.subnet6, state.gateway6) == ("fd09::/64", "fd09::1")
    assert (state.static, state.static6, state.aux) == (True, True, {"r": "10.9.0.200"})


def test_ipv6_without_a_subnet_is_the_same_each_time() -> None:
    """A unique local /64 that comes of the names, and only that with `enable_ipv4: false`."""
    one, two = made(enable_ipv6=True), made(enable_ipv6=True, enable_ipv4=False)

    assert one.subnet6 == two.subnet6
    assert ipaddress.IPv6Network(one.subnet6).subnet_of(ipaddress.IPv6Network("fd00::/8"))
    assert (two.subnet, two.gateway, two.static6) == ("", "", False)


def test_a_subnet_that_is_in_use() -> None:
    with pytest.raises(
        NetworkError, match=r"^network net: create: subnet 10\.7\.0\.0/16 overlaps 10\.7\.8\.0/24"
    ):
        made(taken=("10.7.8.0/24",), pools=(Pool(subnet="10.7.0.0/16"),))


def test_an_ipv6_subnet_without_ipv6() -> None:
    """It is shown nowhere and nobody has an address of it, as with Docker."""
    state = made(pools=(Pool(subnet="10.9.0.0/24"), Pool(subnet="fd09::/64")))

    assert (state.subnet, state.subnet6, state.gateway6, state.static6) == ("10.9.0.0/24", "", "", False)


@pytest.mark.parametrize(
    ("options", "internal", "routers", "guarded", "translated"),
    (
        ({}, False, 2, (True, True), (True, True)),
        ({"gateway_mode_ipv4": "nat"}, False, 2, (True, True), (True, True)),
        ({"gateway_mode_ipv4": "nat-unprotected"}, False, 2, (False, True), (True, True)),
        ({"gateway_mode_ipv6": "routed"}, False, 2, (True, False), (True, False)),
        ({"gateway_mode_ipv4": "isolated"}, True, 1, (True, True), (False, False)),
        ({"inhibit_ipv4": "true"}, False, 1, (True, True), (True, True)),
        ({"enable_ip_masquerade": "0"}, False, 2, (False, False), (False, False)),
    ),
)
def test_gateway_modes(
    options: dict[str, str],
    routers: int,
    guarded: tuple[bool, bool],
    translated: tuple[bool, bool],
    *,
    internal: bool,
) -> None:
    """Where the machine has addresses, whose own addresses outsiders may use, what leaves under the machine's."""
    given = {BRIDGE + key: value for key, value in options.items()}
    state = made(options=given, internal=internal, enable_ipv6=True)

    assert len(state.router_addresses) == routers
    assert (state.is_guarded(4), state.is_guarded(6)) == guarded
    assert (state.translates(4), state.translates(6)) == translated


def test_pools_that_are_used_up() -> None:
    """The variable that makes more of them is in the hint."""
    spec = NetworkSpec(name="net", project="p")
    with pytest.raises(AddressesExhausted) as caught:
        BridgeDriver().new_state(
            spec,
            AddressSpace(pools=parse_pools("10.0.0.0/24/24"), taken=[ipaddress.ip_network("10.0.0.0/16")]),
        )

    assert "PYCOMPOSE_ADDRESS_POOLS" in str(caught.value.hint)
