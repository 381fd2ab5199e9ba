"""Attributes and objects as bytes: lengths, padding, nesting."""

from __future__ import annotations

import ipaddress
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.networking.firewall import nft, rules
from pycompose.networking.firewall.conntrack import FlowTuple, is_stale, parse
from pycompose.networking.model import NetworkState, PublishedPort
from pycompose.networking.netlink.attributes import attribute, attributes, nested, text
from pycompose.networking.netlink.nfnetlink import Transaction, be32

TREES = st.recursive(
    st.binary(max_size=40),
    lambda inner: st.dictionaries(st.integers(1, 100), inner, max_size=4),
    max_leaves=12,
)


def build(kind: int, tree: bytes | dict[int, object]) -> bytes:
    if isinstance(tree, bytes):
        return attribute(kind, tree)
    return nested(kind, *(build(key, value) for key, value in tree.items()))  # type: ignore[arg-type]


def unbuild(data: bytes, like: object) -> object:
    if not isinstance(like, dict):
        return data
    found = attributes(data)
    return {key: unbuild(found[key], like[key]) for key in like}


@given(st.integers(1, 100), TREES)
def test_what_is_built_can_be_read(kind: int, tree: bytes | dict[int, object]) -> None:
    data = build(kind, tree)

    assert len(data) % 4 == 0
    (length, _kind) = struct.unpack_from("=HH", data)
    assert length <= len(data) < length + 4
    assert unbuild(attributes(data)[kind], tree) == tree


@given(st.binary(max_size=80))
def test_junk_is_read_as_far_as_it_goes(data: bytes) -> None:
    for value in attributes(data).values():
        assert value in data


def test_small_parts() -> None:
    assert text(1, "ab") == struct.pack("=HH", 7, 1) + b"ab\0\0"
    assert be32(3, -3) == struct.pack("=HH", 8, 3) + b"\xff\xff\xff\xfd"
    with pytest.raises(ValueError, match="don't fit"):
        attribute(1, bytes(65533))


@given(
    st.lists(
        st.builds(
            lambda number, prefix: ipaddress.IPv4Network((number, prefix), strict=False),
            st.integers(0, 2**32 - 1),
            st.integers(1, 32),
        ),
        max_size=12,
    )
)
def test_ranges_cover_the_subnets_once(nets: list[ipaddress.IPv4Network]) -> None:
    found = nft.ranges(map(str, nets))

    assert all(first < beyond for first, beyond in found)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(found))
    assert sum(beyond - first for first, beyond in found) == sum(
        net.num_addresses for net in ipaddress.collapse_addresses(nets)
    )
    for net in nets:
        assert any(first <= int(net[0]) and int(net[-1]) < beyond for first, beyond in found)


@given(st.integers(0, 1200))
def test_a_batch_is_a_row_of_whole_messages(ports: int) -> None:
    """Begin, requests with rising sequence numbers, end; many elements are spread over several requests."""
    network = NetworkState(
        name="n", id="0" * 64, project="p", bridge="pc-1", subnet="10.0.0.0/16", gateway="10.0.0.1"
    )
    published = [
        PublishedPort(
            host_ip="", host_port=1024 + n, protocol="tcp", container_ip="10.0.0.2", container_port=80
        )
        for n in range(ports)
    ]
    transaction = Transaction()
    rules.RuleSet(nft.Table(transaction, "inet", "t"), [network], published).build(sources=True)
    data, place, sequence = transaction.encode(5), 0, 5
    while place < len(data):
        length, _kind, _flags, number, _pid = struct.unpack_from("=IHHII", data, place)
        assert number == sequence
        assert length % 4 == 0
        place, sequence = place + length, sequence + 1

    assert place == len(data)
    assert sequence - 5 == len(transaction) + 2


def test_set_types_are_as_nft_numbers_them() -> None:
    pair = nft.SetType((nft.TYPE_PROTO, nft.TYPE_PORT))

    assert (pair.number, pair.length) == (12 << 6 | 13, 8)
    assert (nft.SetType((nft.TYPE_PROTO,)).length, nft.SetType((nft.TYPE_IPV6,)).length) == (1, 16)


def test_table_names_stay_short_and_different() -> None:
    assert rules.table_name("my-app_1") == "pyc_my-app_1"
    long = [rules.table_name("p" * 200 + end) for end in ("a", "b")]

    assert long[0] != long[1]
    assert {len(name) for name in long} == {63}


def test_conntrack_tuples_are_read() -> None:
    addresses = nested(1, attribute(1, b"\n\0\0\1"), attribute(2, b"\n\0\0\2"))
    protocol = nested(2, attribute(1, b"\x11"), attribute(2, b"\x04\0"), attribute(3, b"\0\x35"))

    assert parse(addresses + protocol) == FlowTuple(17, "10.0.0.1", 1024, "10.0.0.2", 53)
    assert parse(addresses) is None
    assert parse(nested(2, attribute(1, b"\x01"))) is None
    assert parse(addresses + nested(2, attribute(1, b"\x01"), attribute(2, b"\0\0"))) is None


def test_only_flows_to_somebody_else_are_stale() -> None:
    port = PublishedPort(
        host_ip="", host_port=53, protocol="udp", container_ip="10.0.0.2", container_port=5353
    )
    there = FlowTuple(17, "192.0.2.9", 4000, "127.0.0.1", 53)

    assert not is_stale(port, there, FlowTuple(17, "10.0.0.2", 5353, "192.0.2.9", 4000))
    assert is_stale(port, there, FlowTuple(17, "10.0.0.7", 5353, "192.0.2.9", 4000))
    assert is_stale(port, there, FlowTuple(17, "127.0.0.1", 53, "192.0.2.9", 4000))  # met the machine itself
    far = FlowTuple(17, "10.0.0.3", 4000, "198.51.100.1", 53)
    assert not is_stale(
        port, far, FlowTuple(17, "198.51.100.1", 53, "10.0.0.3", 4000)
    )  # a query passing through
