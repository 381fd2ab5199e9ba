"""What the flags of `network create` ask for."""

from __future__ import annotations

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.machine.network_creation import NetworkRequest, network_spec
from pycompose.networking.model import Pool


def test_addresses_go_to_the_pool_of_their_family() -> None:
    """Subnets, gateways and ranges are given in any order."""
    spec = network_spec(
        NetworkRequest(
            name="front",
            subnets=("fd00::/64", "10.9.0.0/16"),
            gateways=("10.9.0.1",),
            ranges=("10.9.1.0/24", "fd00::1:0/112"),
            internal=True,
            ipv6=True,
            labels={"tier": "front"},
        )
    )

    assert sorted(spec.pools, key=lambda pool: pool.subnet) == [
        Pool(subnet="10.9.0.0/16", gateway="10.9.0.1", ip_range="10.9.1.0/24"),
        Pool(subnet="fd00::/64", ip_range="fd00::1:0/112"),
    ]
    assert (spec.project, spec.internal, spec.enable_ipv6, spec.labels) == ("", True, True, {"tier": "front"})


def test_without_addresses_there_is_no_pool() -> None:
    assert network_spec(NetworkRequest(name="front")).pools == ()


def test_names_that_are_none() -> None:
    with pytest.raises(NetworkError):
        network_spec(NetworkRequest(name="../front"))
