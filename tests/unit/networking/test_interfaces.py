"""Names of a container's interfaces, and where its default routes go."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking.interfaces import choose_gateways, choose_names
from pycompose.networking.model import Attachment, EndpointSpec, EndpointState, NetworkState
from pycompose.networking.records import NetworkRecord

SOMEBODY, OTHER = "a" * 64, "b" * 64


def network(name: str, **settings: Any) -> NetworkState:
    return NetworkState(
        name=name,
        id=name,
        project="p",
        bridge=f"pc-{name}",
        interface_prefix="net" if name == "named" else "eth",
        **settings,
    )


def wanted(
    name: str, interface_name: str = "", *, has: str = "", owner: str = SOMEBODY
) -> tuple[EndpointSpec, NetworkRecord]:
    record = NetworkRecord(state=network(name))
    if has:
        record.attachments[owner] = Attachment(lease_key="p/s/1", veth="veth0", interface=has)
    return EndpointSpec(network=name, lease_key="p/s/1", interface_name=interface_name), record


@pytest.mark.parametrize(
    ("endpoints", "names"),
    (
        ((), []),
        ((wanted("a"), wanted("b")), ["eth0", "eth1"]),
        ((wanted("a"), wanted("named"), wanted("b")), ["eth0", "net0", "eth1"]),
        ((wanted("a"), wanted("b", "eth0"), wanted("c")), ["eth1", "eth0", "eth2"]),
        ((wanted("a"), wanted("b", has="eth0")), ["eth1", "eth0"]),  # connected later to a
        ((wanted("a", "wan", has="eth3"), wanted("b")), ["eth3", "eth0"]),  # what it has stays
        ((wanted("a", has="eth7", owner=OTHER),), ["eth0"]),
        ((wanted("a", "fifteen-letters"),), ["fifteen-letters"]),
    ),
)
def test_names(endpoints: tuple[tuple[EndpointSpec, NetworkRecord], ...], names: list[str]) -> None:
    """What it has, or asks for, or the next free number."""
    assert choose_names(SOMEBODY, endpoints) == names


@pytest.mark.parametrize("name", ("lo", ".", "..", "a/b", "a:b", "a b", "sixteen-letters!"))
def test_names_that_the_kernel_refuses(name: str) -> None:
    """The message names the network: one service may have several."""
    with pytest.raises(NetworkError, match=r"^network front: interface_name .* is not an interface name"):
        choose_names(SOMEBODY, [wanted("front", name)])


@pytest.mark.parametrize("second", (wanted("b", "wan"), wanted("b", has="wan")))
def test_a_name_twice(second: tuple[EndpointSpec, NetworkRecord]) -> None:
    """Also when one of them is there already."""
    with pytest.raises(NetworkError, match="two networks ask for one interface_name"):
        choose_names(SOMEBODY, [wanted("a", "wan"), second])


def connected(state: NetworkState, priority: int = 0) -> tuple[EndpointSpec, EndpointState]:
    attachment = Attachment(lease_key="p/s/1", veth="veth0", interface="eth0")
    spec = EndpointSpec(network=state.name, lease_key="p/s/1", gw_priority=priority)
    return spec, EndpointState(network=state, attachment=attachment)


A = network("a", gateway="10.0.0.1")
B = network("b", gateway="10.1.0.1", gateway6="fd01::1")
CLOSED = network("closed", internal=True, gateway="10.2.0.1", gateway6="fd02::1")
SIX = network("six", gateway6="fd03::1")
ROUTED = network("routed", mode="l3/bridge", subnet="10.4.0.0/24", gateway="10.4.0.1")


@pytest.mark.parametrize(
    ("endpoints", "gateways"),
    (
        ((), []),
        ((connected(CLOSED),), [("", "")]),
        ((connected(A), connected(B)), [("10.0.0.1", ""), ("", "fd01::1")]),
        ((connected(B), connected(A)), [("", "fd01::1"), ("10.0.0.1", "")]),  # by name, not by order
        ((connected(A), connected(B, 1)), [("", ""), ("10.1.0.1", "fd01::1")]),
        ((connected(A), connected(CLOSED, 9), connected(SIX)), [("10.0.0.1", ""), ("", ""), ("", "fd03::1")]),
        ((connected(A, -1), connected(SIX)), [("10.0.0.1", ""), ("", "fd03::1")]),
        ((connected(B), connected(ROUTED, 1)), [("", "fd01::1"), ("0.0.0.0", "")]),  # over the link itself
    ),
)
def test_gateways(
    endpoints: tuple[tuple[EndpointSpec, EndpointState], ...], gateways: list[tuple[str, str]]
) -> None:
    """One default route for each family, by priority, then by name; never into an internal network."""
    found = choose_gateways(endpoints)

    assert [(one.gateway, one.gateway6) for one in found] == gateways
    assert [one.network for one in found] == [one.network for _spec, one in endpoints]
