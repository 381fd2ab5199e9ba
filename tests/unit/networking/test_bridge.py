"""How the settings of a network become its state."""

from __future__ import annotations

import ipaddress

import pytest
from pycompose.engine.errors import AddressesExhausted, NetworkError
from pycompose.networking.bridge import BridgeDriver
from pycompose.networking.ipam import DEFAULT_POOLS, parse_pools
from pycompose.networking.model import NetworkSpec, NetworkState, Pool

BRIDGE = "com.docker.network.bridge."


def made(taken: tuple[str, ...] = (), **settings: object) -> NetworkState:
    spec = NetworkSpec(name="net", project="p", **settings)  # type: ignore[arg-type]
    return BridgeDriver().new_state(spec, DEFAULT_POOLS, [ipaddress.ip_network(text) for text in taken])


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
    assert (state.static, state.static6, state.reserved) == (True, True, ("10.9.0.200",))


def test_ipv6_without_a_subnet_is_the_same_each_time() -> None:
    """A unique local /64 that comes of the names, and only that with `enable_ipv4: false`."""
    one, two = made(enable_ipv6=True), made(enable_ipv6=True, enable_ipv4=False)

    assert one.subnet6 == two.subnet6
    assert ipaddress.IPv6Network(one.subnet6).subnet_of(ipaddress.IPv6Network("fd00::/8"))
    assert (two.subnet, two.gateway, two.static6) == ("", "", False)


@pytest.mark.parametrize(
    ("settings", "message"),
    (
        ({"enable_ipv4": False}, "IPv4 and IPv6 are both disabled"),
        ({"pools": (Pool(subnet="10.0.0.0/24"), Pool(subnet="10.1.0.0/24"))}, "one subnet for each"),
        ({"pools": (Pool(ip_range="10.0.0.0/25"),)}, "need a subnet"),
        ({"pools": (Pool(subnet="10.0.0.0/31"),)}, "no room for a gateway and a container"),
        ({"pools": (Pool(subnet="10.0.0.0/24", ip_range="10.0.1.0/25"),)}, "is not inside subnet"),
        ({"pools": (Pool(subnet="10.0.0.0/24", gateway="10.0.0.0"),)}, "is not a host address"),
        ({"pools": (Pool(subnet="10.0.0.0/24", aux={"x": "nowhere"}),)}, "aux_addresses x: "),
        ({"pools": (Pool(subnet="nonsense"),)}, "ipam: 'nonsense'"),
        ({"pools": (Pool(subnet="10.7.0.0/16"),)}, "subnet 10.7.0.0/16 overlaps 10.7.8.0/24"),
        ({"options": {f"{BRIDGE}name": "x" * 16}}, "is not an interface name"),
        ({"options": {f"{BRIDGE}enable_icc": "maybe"}}, "enable_icc: 'maybe' is neither true nor false"),
        ({"options": {"com.docker.network.driver.mtu": "67"}}, "mtu: '67' is not a number from 68 to 65535"),
    ),
)
def test_what_can_not_be(settings: dict[str, object], message: str) -> None:
    """Each message names the network."""
    with pytest.raises(NetworkError, match=message) as caught:
        made(taken=("10.7.8.0/24",), **settings)

    assert str(caught.value).startswith("network net: ")


def test_pools_that_are_used_up() -> None:
    """The variable that makes more of them is in the hint."""
    spec = NetworkSpec(name="net", project="p")
    with pytest.raises(AddressesExhausted) as caught:
        BridgeDriver().new_state(spec, parse_pools("10.0.0.0/24/24"), [ipaddress.ip_network("10.0.0.0/16")])

    assert "PYCOMPOSE_ADDRESS_POOLS" in str(caught.value.hint)
