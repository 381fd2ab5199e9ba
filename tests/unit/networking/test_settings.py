"""What may be written of a network: the rule of each setting, its place, and who says so."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking.driver import check, problems
from pycompose.networking.model import NetworkSpec, Pool
from pycompose.networking.settings import interface_sysctls

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
SUBNET = ("ipam", "config", 0, "subnet")
GATEWAY = ("ipam", "config", 0, "gateway")
RANGE = ("ipam", "config", 0, "ip_range")
NET = "10.0.0.0/24"


def spec(**settings: Any) -> NetworkSpec:
    return NetworkSpec(name="net", project="p", **settings)


def option(name: str, value: str, driver: str = "bridge") -> dict[str, Any]:
    return {"driver": driver, "options": {name: value}}


def pool(subnet: str, **more: Any) -> dict[str, Any]:
    return {"pools": (Pool(subnet=subnet, **more),)}


@pytest.mark.parametrize(
    ("settings", "path", "reason"),
    (
        ({"driver": "overlay"}, ("driver",), "driver 'overlay' is not supported"),
        ({"enable_ipv4": False}, ("enable_ipv4",), "IPv4 and IPv6 are both disabled"),
        (option(MTU, "67"), ("driver_opts", MTU), "'67' is not a number from 68 to 65535"),
        (option(MTU, "-5"), ("driver_opts", MTU), "'-5' is not a number"),
        (option(MTU, "9", "ipvlan"), ("driver_opts", MTU), "'9' is not a number"),
        (option(f"{BRIDGE}name", "x" * 16), ("driver_opts", f"{BRIDGE}name"), "is not an interface name"),
        (option(f"{BRIDGE}name", "a/b"), ("driver_opts", f"{BRIDGE}name"), "is not an interface name"),
        (option(f"{BRIDGE}enable_icc", "maybe"), ("driver_opts", f"{BRIDGE}enable_icc"), "neither true nor"),
        (option(f"{BRIDGE}inhibit_ipv4", ""), ("driver_opts", f"{BRIDGE}inhibit_ipv4"), "neither true nor"),
        (
            option(f"{BRIDGE}host_binding_ipv4", "::1"),
            ("driver_opts", f"{BRIDGE}host_binding_ipv4"),
            "'::1' is not an IPv4 address",
        ),
        (
            option("com.docker.network.host_ipv6", "10.0.0.1"),
            ("driver_opts", "com.docker.network.host_ipv6"),
            "'10.0.0.1' is not an IPv6 address",
        ),
        (
            option(f"{BRIDGE}gateway_mode_ipv4", "bridged"),
            ("driver_opts", f"{BRIDGE}gateway_mode_ipv4"),
            "'bridged' is not valid: nat, nat-unprotected, routed, isolated",
        ),
        (
            option(f"{BRIDGE}gateway_mode_ipv6", "isolated"),
            ("driver_opts", f"{BRIDGE}gateway_mode_ipv6"),
            "'isolated' is for internal networks",
        ),
        (
            option("com.docker.network.container_iface_prefix", "x" * 15),
            ("driver_opts", "com.docker.network.container_iface_prefix"),
            "is not the beginning of an interface name",
        ),
        (option("macvlan_mode", "loud", "macvlan"), ("driver_opts", "macvlan_mode"), "'loud' is not valid"),
        (option("ipvlan_flag", "loud", "ipvlan"), ("driver_opts", "ipvlan_flag"), "'loud' is not valid"),
        (option("parent", "lo.5", "macvlan"), ("driver_opts", "parent"), "loopback cannot carry other links"),
        ({"pools": (Pool(ip_range="10.0.0.0/25"),)}, RANGE, "ip_range needs a subnet"),
        ({"pools": (Pool(gateway="10.0.0.1"),)}, GATEWAY, "gateway needs a subnet"),
        (pool("nonsense"), SUBNET, "invalid subnet nonsense: it is no ADDRESS/BITS"),
        (pool("10.0.0.0"), SUBNET, "it is no ADDRESS/BITS"),
        (pool("10.0.0.0/255.255.0.0"), SUBNET, "it is no ADDRESS/BITS"),
        (pool("10.0.0.0/33"), SUBNET, "invalid subnet 10.0.0.0/33"),
        (pool("10.0.0.5/24"), SUBNET, "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24"),
        (pool("fd00::5/64"), SUBNET, "invalid subnet fd00::5/64: it should be fd00::/64"),
        (pool("10.0.0.4/32"), SUBNET, "no room for a gateway and a container"),
        (pool("0.0.0.0/0"), SUBNET, "is every address there is"),
        (pool("127.5.0.0/24"), SUBNET, "overlaps 127.0.0.0/8"),
        (pool("224.0.0.0/24"), SUBNET, "overlaps 224.0.0.0/4"),
        (pool("ff02::/64"), SUBNET, "overlaps ff00::/8"),
        (pool(NET, ip_range="10.0.1.0/25"), RANGE, "ip_range 10.0.1.0/25 is not inside subnet"),
        (pool(NET, ip_range="10.0.0.0/16"), RANGE, "is not inside subnet"),
        (pool(NET, ip_range="10.0.0.5/28"), RANGE, "it should be 10.0.0.0/28"),
        (pool(NET, ip_range="fd00::/64"), RANGE, "is not inside subnet"),
        (pool(NET, gateway="10.0.0.0"), GATEWAY, "gateway: 10.0.0.0 is not a host address of 10.0.0.0/24"),
        (pool(NET, gateway="10.0.0.255"), GATEWAY, "gateway: 10.0.0.255 is not a host address"),
        (pool(NET, gateway="ten"), GATEWAY, "gateway: 'ten' does not appear"),
        (
            pool(NET, aux={"x": "fd00::1"}),
            ("ipam", "config", 0, "aux_addresses", "x"),
            "aux_addresses x: fd00::1 is not a host address",
        ),
        (
            pool(NET, gateway="10.0.0.1", aux={"x": "10.0.0.1"}),
            ("ipam", "config", 0, "aux_addresses", "x"),
            "aux_addresses x: 10.0.0.1 is that of gateway",
        ),
        (
            {"pools": (Pool(subnet=NET), Pool(subnet="10.1.0.0/24"))},
            ("ipam", "config", 1, "subnet"),
            "one subnet for each address family is supported",
        ),
    ),
)
def test_what_can_not_be(settings: dict[str, Any], path: tuple[str | int, ...], reason: str) -> None:
    """Each is found once, with its place; who makes the network is told the same with its name."""
    (problem,) = problems(spec(**settings))
    with pytest.raises(NetworkError) as caught:
        check(spec(**settings))

    assert problem.path == path
    assert reason in problem.reason
    assert str(caught.value).startswith("network net: ")
    assert str(caught.value).endswith(problem.reason)


@pytest.mark.parametrize(
    "settings",
    (
        {},
        pool("10.0.0.4/31"),
        {**pool("fd00::4/127"), "enable_ipv6": True},
        pool("169.254.0.0/16"),
        pool(NET, ip_range="10.0.0.128/25", gateway="10.0.0.254", aux={"a": "10.0.0.1"}),
        {"pools": (Pool(subnet=NET), Pool(subnet="fd00::/64")), "enable_ipv6": True},
        option(MTU, "0"),
        option(MTU, "9000"),
        option("anything", "of somebody else's"),
        option("macvlan_mode", "loud"),
        {**option(f"{BRIDGE}gateway_mode_ipv4", "isolated"), "internal": True},
        option("ipvlan_mode", "l3s", "ipvlan"),
        {"config_only": True, "driver": "whatever"},
    ),
)
def test_what_can_be(settings: dict[str, Any]) -> None:
    """Options of other drivers are kept and do nothing, as with Docker."""
    assert list(problems(spec(**settings))) == []


def test_sysctls_of_an_interface() -> None:
    """Docker's form; a path can't leave /proc/sys/net."""
    text = "net.ipv4.conf.IFNAME.log_martians=1, net.ipv6.neigh.IFNAME.base_reachable_time_ms=9"

    assert interface_sysctls(text) == {
        "ipv4/conf/IFNAME/log_martians": "1",
        "ipv6/neigh/IFNAME/base_reachable_time_ms": "9",
    }


@pytest.mark.parametrize(
    "text",
    (
        "",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.eth0.log_martians=1",
        "net.ipv4.conf.IFNAME.log_martians",
        "net.ipv4.../../kernel.IFNAME.x=1",
        "kernel.a.b.IFNAME.c=1",
        "net.ipv4.conf.IFNAME.a=1,",
    ),
)
def test_what_is_no_sysctl_of_an_interface(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not net\.X\.Y\.IFNAME\.Z=VALUE"):
        interface_sysctls(text)
