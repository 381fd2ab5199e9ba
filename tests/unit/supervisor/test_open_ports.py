"""Which ports of a container are reached at its own addresses, and in which families its host ports are."""

from __future__ import annotations

import pytest
from pycompose.model import Port
from pycompose.networking.model import NetworkState
from pycompose.policy.observed import EndpointRecord
from pycompose.supervisor.network.attached import open_ports, published_families
from pycompose.supervisor.network.published_ports import reserve_ports

FOUR, SIX = "10.0.0.2", "fd00::2"


def network(four: str, six: str) -> NetworkState:
    return NetworkState(name="n", id="1", project="p", gateway_mode=four, gateway_mode6=six)


def port(host_ip: str = "") -> Port:
    return Port(target=80, protocol="tcp", host_ip=host_ip, published=None)


@pytest.mark.parametrize(
    ("modes", "addresses", "families", "opened"),
    (
        (("nat", "nat"), (FOUR, SIX), {4, 6}, []),
        (("routed", "nat"), (FOUR, SIX), {6}, [FOUR]),
        (("nat", "routed"), (FOUR, SIX), {4}, [SIX]),
        (("routed", "routed"), (FOUR, SIX), set(), [FOUR, SIX]),
        (("routed", "nat"), (FOUR, ""), set(), [FOUR]),
        (("nat", "routed"), (FOUR, ""), {4, 6}, []),
        (("nat", "routed"), ("", SIX), set(), [SIX]),
        (("nat-unprotected", "nat"), (FOUR, SIX), {4, 6}, []),
    ),
)
def test_families(
    modes: tuple[str, str], addresses: tuple[str, str], families: set[int], opened: list[str]
) -> None:
    """A family that the container lacks leads to its other address, and is what that is."""
    endpoint = EndpointRecord(network="n", ip=addresses[0], ip6=addresses[1])

    assert published_families(endpoint, network(*modes)) == families
    assert [item.container_ip for item in open_ports([port()], endpoint, network(*modes))] == opened


@pytest.mark.parametrize(
    ("host_ip", "opened"),
    (("", [FOUR, SIX]), ("0.0.0.0", [FOUR]), ("::", [SIX]), ("127.0.0.1", []), ("::1", [])),
)
def test_a_port_for_one_address_of_the_machine_is_not_opened_to_all(host_ip: str, opened: list[str]) -> None:
    endpoint = EndpointRecord(network="n", ip=FOUR, ip6=SIX)

    found = open_ports([port(host_ip)], endpoint, network("routed", "routed"))
    assert [item.container_ip for item in found] == opened


@pytest.mark.parametrize(
    ("families", "host_ip", "addresses"),
    (
        ((4,), "", ["0.0.0.0"]),
        ((6,), "", ["::"]),
        ((6,), "127.0.0.1", []),
        ((4,), "127.0.0.1", ["127.0.0.1"]),
        ((), "", []),
    ),
)
def test_only_families_that_are_published_have_host_ports(
    families: tuple[int, ...], host_ip: str, addresses: list[str]
) -> None:
    reserved, bindings = reserve_ports([port(host_ip)], "", families=families)
    for one in reserved:
        one.close()

    assert [binding.host_ip for binding in bindings] == addresses
