"""Requests for links on another one: each setting arrives in the message, read back without the library."""

from __future__ import annotations

import struct

import pytest
from pycompose.networking.netlink import requests
from pycompose.networking.netlink.attributes import attributes, text_of
from pycompose.networking.netlink.messages import HEADER
from pycompose.networking.netlink.newlink import NewLink, encode
from pycompose.networking.netlink.requests import IFINFOMSG


def read(link: NewLink) -> tuple[dict[int, bytes], str, dict[int, bytes]]:
    """Return a request's attributes, the kind, and the attributes of the kind."""
    data = encode(link)
    length, kind, flags, _sequence, _port = HEADER.unpack_from(data)
    assert (length, kind, flags) == (len(data), 16, 0x605)  # RTM_NEWLINK; REQUEST, ACK, EXCL, CREATE
    found = attributes(data[HEADER.size + IFINFOMSG.size :])
    info = attributes(found[requests.IFLA_LINKINFO])
    below = attributes(info.get(requests.IFLA_INFO_DATA, b""))
    return found, text_of(info[requests.IFLA_INFO_KIND]), below


@pytest.mark.parametrize(
    ("kind", "settings", "wanted"),
    (
        ("macvlan", (4,), {1: struct.pack("=I", 4)}),
        ("ipvlan", (1, 2), {1: struct.pack("=H", 1), 2: struct.pack("=H", 2)}),
        ("vlan", (50,), {1: struct.pack("=H", 50)}),
        ("dummy", (), {}),
    ),
)
def test_settings_of_a_kind(kind: str, settings: tuple[int, ...], wanted: dict[int, bytes]) -> None:
    found, shown, below = read(NewLink(name="mine0", kind=kind, settings=settings))

    assert (text_of(found[requests.IFLA_IFNAME]), shown, below) == ("mine0", kind, wanted)
    assert requests.IFLA_MTU not in found
    assert requests.IFLA_NET_NS_FD not in found


def test_what_all_kinds_have() -> None:
    link = NewLink(
        name="m0", kind="macvlan", parent=3, mac="02:42:ac:11:00:02", mtu=1400, alias="x" * 300, netns_fd=0
    )
    found, _kind, _below = read(link)

    assert found[requests.IFLA_ADDRESS].hex(":") == link.mac
    assert text_of(found[requests.IFLA_IFALIAS]) == "x" * 255
    numbers = (requests.IFLA_LINK, requests.IFLA_MTU, requests.IFLA_NET_NS_FD)
    assert [struct.unpack("=I", found[key])[0] for key in numbers] == [3, 1400, 0]
