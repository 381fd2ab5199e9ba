"""What `network connect` and `disconnect` make of a container's record."""

from __future__ import annotations

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.ipc.requests import ConnectRequest
from pycompose.model import Endpoint, Network, Service
from pycompose.state.records import ServiceRecord
from pycompose.supervisor.handlers.network import with_network, without_network

RECORD = ServiceRecord(
    service=Service(name="web", networks=(Endpoint(network="default"),)),
    networks={"default": Network(key="default", name="demo_default")},
)


def test_joining_adds_a_foreign_network() -> None:
    """By its name on the machine, external, with the names and address that were asked for."""
    request = ConnectRequest(network="late", aliases=("a",), ip="10.0.0.9")

    record = with_network("web-1", RECORD, request)

    assert record.networks["late"] == Network(key="late", name="late", external=True)
    assert record.service.networks[-1] == Endpoint(network="late", aliases=("a",), ipv4_address="10.0.0.9")
    assert record.service.networks[:-1] == RECORD.service.networks


def test_leaving_undoes_joining() -> None:
    """Also of a network that the compose file has put it on, whatever its key there."""
    assert (
        without_network("web-1", with_network("web-1", RECORD, ConnectRequest(network="late")), "late")
        == RECORD
    )
    alone = without_network("web-1", RECORD, "demo_default")
    assert (alone.networks, alone.service.networks) == ({}, ())


def test_what_cannot_be() -> None:
    """Twice on one network, off one it isn't on, on any with a network_mode."""
    with pytest.raises(NetworkError, match="already"):
        with_network("web-1", RECORD, ConnectRequest(network="demo_default"))
    with pytest.raises(NetworkError, match="is not on"):
        without_network("web-1", RECORD, "late")
    with pytest.raises(NetworkError, match="network_mode is host"):
        with_network(
            "web-1",
            ServiceRecord(service=Service(name="web", network_mode="host")),
            ConnectRequest(network="late"),
        )
