"""A filled template is what the library would have encoded."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.networking.netlink import rtnetlink
from pycompose.networking.netlink.templates import filled, ip_value, mac_value, number_value, text_value

NAMES = st.text("abcABC019-_.", min_size=1, max_size=15)
NUMBERS = st.integers(0, 2**32 - 1)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
ADDRESSES = st.ip_addresses().map(str)
SHAPES: tuple[tuple[Any, tuple[Any, ...], dict[str, tuple[Any, st.SearchStrategy[Any]]]], ...] = (
    (rtnetlink._up, (), {"name": (text_value, NAMES)}),
    (rtnetlink._get_link, (), {"name": (text_value, NAMES)}),
    (rtnetlink._delete_link, (), {"name": (text_value, NAMES)}),
    (rtnetlink._set_mac, (), {"name": (text_value, NAMES), "mac": (mac_value, MACS)}),
    (rtnetlink._set_group, (), {"name": (text_value, NAMES), "group": (number_value, NUMBERS)}),
    (
        rtnetlink._port,
        (True,),
        {"name": (text_value, NAMES), "alias": (text_value, st.text(min_size=1, max_size=40))},
    ),
    (
        rtnetlink._new_veth,
        (),
        {
            "name": (text_value, NAMES),
            "mac": (mac_value, MACS),
            "mtu": (number_value, NUMBERS),
            "master": (number_value, NUMBERS),
            "peer": (text_value, NAMES),
            "peer_mac": (mac_value, MACS),
            "netns_fd": (number_value, NUMBERS),
        },
    ),
    (rtnetlink._new_address, (24,), {"local": (ip_value, ADDRESSES), "index": (number_value, NUMBERS)}),
    (rtnetlink._new_default_route, (), {"gateway": (ip_value, ADDRESSES), "index": (number_value, NUMBERS)}),
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0].__name__)
@given(data=st.data())
def test_filled_is_encoded(shape: Any, data: st.DataObject) -> None:
    """Any values, several times: the first makes the template, later ones fill it."""
    encode, fixed, fields = shape
    plain = {name: data.draw(values) for name, (_kind, values) in fields.items()}
    if "alias" in plain and not plain["alias"].isprintable():
        plain["alias"] = plain["alias"].encode("unicode_escape").decode()
    wrapped = {name: kind(plain[name]) for name, (kind, _values) in fields.items()}
    assert filled(encode, *fixed, **wrapped) == encode(*fixed, **plain)


def test_a_mark_that_looks_like_something_else() -> None:
    """A one-letter value can't be told from the rest: then the library encodes every time."""

    def encode(*, value: str) -> bytes:
        return b"A" + value.encode() + b"A"

    assert [filled(encode, value=text_value(letter)) for letter in "xyA"] == [b"AxA", b"AyA", b"AAA"]


def test_broadcast_addresses() -> None:
    """They are the last address of the prefix, and there is none for /31 and /32."""
    for prefix in range(1, 33):
        batch = rtnetlink.Batch(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        batch.add_address("eth0", 3, "10.1.2.3", prefix)
        (message,) = batch._messages
        last = ipaddress.ip_network(f"10.1.2.3/{prefix}", strict=False).broadcast_address
        assert (message.endswith(b"\x08\x00\x04\x00" + last.packed)) == (prefix < 31)
