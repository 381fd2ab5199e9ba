"""Requests to the kernel are, byte for byte, what another library (pyroute2 0.9.5) made of the same words."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from pycompose.networking.netlink import requests
from pycompose.networking.netlink.attributes import attributes
from pycompose.networking.netlink.messages import HEADER
from pycompose.networking.netlink.requests import IFADDRMSG, PeerSpec

MAC = "02:42:ac:11:00:02"
PEER = PeerSpec(name="eth0", mac="02:42:ac:11:00:03", netns_fd=5)


@pytest.mark.parametrize(
    ("request_bytes", "wanted"),
    (
        pytest.param(
            requests.new_bridge(name="pc-1f", mac=MAC, mtu=1500, group=0x70796300),
            "58000000100005060000000000000000000000000000000000000000000000000a00030070632d3166000000"
            "0a0001000242ac110002000008000400dc05000008001b0000637970100012000b0001006272696467650000",
            id="create_bridge",
        ),
        pytest.param(
            requests.new_veth(name="veth0123", mac=MAC, mtu=1400, master=7, peer=PEER),
            "ac000000100005060000000000000000000000000000000000000000000000000d0003007665746830313233"
            "000000000a0001000242ac1100020000080004007805000008000d000000000008000a000700000058001200"
            "0900010076657468000000004800020044000100000000000000000000000000000000000900030065746830"
            "000000000a0001000242ac1100030000080004007805000008000d000000000008001c0005000000",
            id="create_veth",
        ),
        pytest.param(
            requests.port_up("veth0123", alias="pycompose ab", isolated=False),
            "80000000100005000000000000000000000000000000000001000000010000000d0003007665746830313233"
            "00000000110014007079636f6d706f73652061620000000010001a000c000a0005000800010000002c001200"
            "0b00040062726964676500001c000500050004000100000005000800000000000500210000000000",
            id="port",
        ),
        pytest.param(
            requests.port_up("veth0123", alias="pycompose ab", isolated=True),
            "80000000100005000000000000000000000000000000000001000000010000000d0003007665746830313233"
            "00000000110014007079636f6d706f73652061620000000010001a000c000a0005000800010000002c001200"
            "0b00040062726964676500001c000500050004000100000005000800000000000500210001000000",
            id="port, isolated",
        ),
        pytest.param(
            requests.bridge_up("pc-1f", alias="pycompose ab", link_local=False),
            "50000000100005000000000000000000000000000000000001000000010000000a00030070632d3166000000"
            "110014007079636f6d706f73652061620000000010001a000c000a000500080001000000",
            id="bridge",
        ),
        pytest.param(
            requests.bridge_up("pc-1f", alias="pycompose ab", link_local=True),
            "40000000100005000000000000000000000000000000000001000000010000000a00030070632d3166000000"
            "110014007079636f6d706f736520616200000000",
            id="bridge with IPv6",
        ),
        pytest.param(
            requests.bridge_entry(9, MAC),
            "280000001c00050500000000000000000700000009000000420004000a0002000242ac1100020000",
            id="forwarding",
        ),
        pytest.param(
            requests.permanent_neighbour(2, "10.0.0.1", MAC),
            "300000001c0005050000000000000000020000000200000080000000080001000a0000010a0002000242ac11"
            "00020000",
            id="neighbour",
        ),
        pytest.param(
            requests.permanent_neighbour(2, "fd00::1", MAC),
            "3c0000001c00050500000000000000000a000000020000008000000014000100fd0000000000000000000000"
            "000000010a0002000242ac1100020000",
            id="neighbour, IPv6",
        ),
        pytest.param(
            requests.link_up("eth0"),
            "2c00000010000500000000000000000000000000000000000100000001000000090003006574683000000000",
            id="up",
        ),
        pytest.param(
            requests.get_link("eth0"),
            "2c00000012000500000000000000000000000000000000000000000000000000090003006574683000000000",
            id="carrier",
        ),
        pytest.param(
            requests.set_mac("eth0", MAC),
            "3800000010000500000000000000000000000000000000000000000000000000090003006574683000000000"
            "0a0001000242ac1100020000",
            id="announce",
        ),
        pytest.param(
            requests.delete_link("eth0"),
            "2c00000011000500000000000000000000000000000000000000000000000000090003006574683000000000",
            id="delete",
        ),
        pytest.param(
            requests.set_group("eth0", 77),
            "3400000010000500000000000000000000000000000000000000000000000000090003006574683000000000"
            "08001b004d000000",
            id="group",
        ),
        pytest.param(
            requests.delete_group(77),
            "280000001100050000000000000000000000000000000000000000000000000008001b004d000000",
            id="delete group",
        ),
        pytest.param(
            requests.new_address(3, "10.1.2.3", 24),
            "300000001400050500000000000000000218000003000000080002000a010203080001000a01020308000400"
            "0a0102ff",
            id="address",
        ),
        pytest.param(
            requests.new_address(3, "10.1.2.3", 31),
            "28000000140005050000000000000000021f000003000000080002000a010203080001000a010203",
            id="address without broadcast",
        ),
        pytest.param(
            requests.new_address(3, "fd00::3", 64),
            "400000001400050500000000000000000a4002000300000014000200fd000000000000000000000000000003"
            "14000100fd000000000000000000000000000003",
            id="address, IPv6",
        ),
        pytest.param(
            requests.default_route(3, "10.1.2.1"),
            "2c00000018000505000000000000000002000000fe04000100000000080005000a0102010800040003000000",
            id="default route",
        ),
        pytest.param(
            requests.default_route(3, "fd00::1"),
            "380000001800050500000000000000000a000000fe0400010000000014000500fd0000000000000000000000"
            "000000010800040003000000",
            id="default route, IPv6",
        ),
        pytest.param(
            requests.default_link(3, socket.AF_INET),
            "2400000018000505000000000000000002000000fe04fd01000000000800040003000000",
            id="default link",
        ),
        pytest.param(
            requests.default_link(3, socket.AF_INET6),
            "240000001800050500000000000000000a000000fe040001000000000800040003000000",
            id="default link, IPv6",
        ),
        pytest.param(
            requests.link_route(3, "10.1.2.0/24", "10.1.2.1"),
            "3400000018000505000000000000000002180000fe02fd0100000000080001000a0102000800040003000000"
            "080007000a010201",
            id="link route",
        ),
        pytest.param(
            requests.link_route(3, "fd00::/64", "fd00::1"),
            "380000001800050500000000000000000a400000fe0200010000000014000100fd0000000000000000000000"
            "000000000800040003000000",
            id="link route, IPv6",
        ),
        pytest.param(
            requests.set_master("veth0", 7),
            "34000000100005000000000000000000000000000000000000000000000000000a0003007665746830000000"
            "08000a0007000000",
            id="master",
        ),
        pytest.param(
            requests.list_links(),
            "2000000012000103000000000000000000000000000000000000000000000000",
            id="links",
        ),
        pytest.param(
            requests.list_routes(socket.AF_INET),
            "1c0000001a000103000000000000000002000000fe00000000000000",
            id="routes",
        ),
        pytest.param(
            requests.list_addresses(),
            "180000001600010300000000000000000000000000000000",
            id="addresses",
        ),
    ),
)
def test_what_is_sent(request_bytes: bytes, wanted: str) -> None:
    assert request_bytes.hex() == wanted


@pytest.mark.parametrize("prefix", range(1, 33))
def test_broadcast_addresses(prefix: int) -> None:
    """They are the last address of the prefix, and there is none for /31 and /32."""
    found = attributes(requests.new_address(3, "10.1.2.3", prefix)[HEADER.size + IFADDRMSG.size :])
    last = ipaddress.ip_network(f"10.1.2.3/{prefix}", strict=False).broadcast_address

    assert found.get(requests.IFA_BROADCAST) == (last.packed if prefix < 31 else None)


def test_an_alias_that_is_too_long() -> None:
    """IFALIASZ: the kernel takes 255 bytes."""
    message = requests.bridge_up("b", alias="x" * 300, link_local=True)

    assert message.count(b"x") == 255
