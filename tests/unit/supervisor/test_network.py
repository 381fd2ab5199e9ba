"""What containers ask of their networks, and where published ports lead."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.config import ContainerConfig, Process, RootfsTree
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PortInUse
from pycompose.model import Endpoint, Network, Port, Service
from pycompose.networking.model import NetworkState, PublishedPort
from pycompose.policy.observed import EndpointRecord, PortBinding
from pycompose.state.records import ServiceRecord
from pycompose.supervisor.network.attached import (
    AttachedContainer,
    forwarded_ports,
    hand_over,
    published_endpoint,
)
from pycompose.supervisor.network.endpoints import endpoint_spec, links
from pycompose.supervisor.network.published_ports import reserve_again, reserve_ports, target_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.networking.ports.reserve import Reservation

LOOPBACK = "127.0.0.1"
INSIDE = NetworkState(name="inside", id="1", project="demo", bridge="br1", internal=True)
OUTSIDE = NetworkState(name="outside", id="2", project="demo", bridge="br2")
NETWORKS = {state.name: state for state in (INSIDE, OUTSIDE)}
ON_INSIDE = EndpointRecord(network="inside", ip="10.0.0.2")
ON_OUTSIDE = EndpointRecord(network="outside", ip="10.1.0.2")
CONFIG = ContainerConfig(
    id="c0ffee" + "0" * 58,
    name="demo-web-1",
    project="demo",
    rootfs=(RootfsTree(lowers=("/l",)),),
    process=Process(args=("true",)),
)
RECORD = ServiceRecord(
    service=Service(
        name="web",
        networks=(
            Endpoint(network="back", aliases=("api",)),
            Endpoint(network="front", mac_address="02:00:00:00:00:09"),
        ),
        mac_address="02:00:00:00:00:01",
        links=(("db", "database"),),
        external_links=(("other-cache-1", "cache"),),
    ),
    networks={"back": Network(key="back", name="demo_back"), "front": Network(key="front", name="shared")},
)


@pytest.fixture
def reserved() -> Iterator[list[Reservation]]:
    """Reservations to be given up at the end."""
    found: list[Reservation] = []
    yield found
    for reservation in found:
        reservation.close()


@contextlib.contextmanager
def taken() -> Iterator[int]:
    """Yield a port of the loopback address that somebody else has."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_container_goes_by_its_name_its_service_its_aliases_and_its_id() -> None:
    """In this order: the first is what a reverse look-up tells."""
    back, front = (endpoint_spec(CONFIG, RECORD, endpoint) for endpoint in RECORD.service.networks)

    assert (back.network, back.aliases) == ("demo_back", ("demo-web-1", "web", "api", "c0ffee000000"))
    assert (front.network, front.aliases) == ("shared", ("demo-web-1", "web", "c0ffee000000"))


def test_the_address_of_a_service_is_for_its_first_network() -> None:
    """A card has one, and each network is a card; a network's own goes before."""
    assert [endpoint_spec(CONFIG, RECORD, e).mac_address for e in RECORD.service.networks] == [
        "02:00:00:00:00:01",
        "02:00:00:00:00:09",
    ]


def test_replicas_keep_their_leases_and_oneoffs_have_their_own() -> None:
    """A recreated replica gets its addresses again; what `run` makes takes none away from it, nor its name."""
    (endpoint, _) = RECORD.service.networks
    second = replace(RECORD, number=2)
    beside = replace(RECORD, lease="+")
    oneoff = replace(RECORD, oneoff=True)

    keys = [endpoint_spec(CONFIG, record, endpoint).lease_key for record in (RECORD, second, beside, oneoff)]
    assert keys == ["demo/web/1", "demo/web/2", "demo/web/1+", "demo/web/1/c0ffee000000"]
    assert "web" not in endpoint_spec(CONFIG, oneoff, endpoint).aliases


def test_links_are_names_of_one_client() -> None:
    """Those of other projects, too."""
    assert links("demo", RECORD) == {"database": "db", "cache": "other-cache-1"}


def test_ports_lead_to_the_first_network_with_a_way_out() -> None:
    """An internal network has none; a container on such only publishes nothing."""
    both = AttachedContainer(endpoints=(ON_INSIDE, ON_OUTSIDE))

    assert published_endpoint(both, NETWORKS) == ON_OUTSIDE
    assert published_endpoint(AttachedContainer(endpoints=(ON_INSIDE,)), NETWORKS) is None
    six = EndpointRecord(network="outside", ip6="fd00::2")
    assert published_endpoint(AttachedContainer(endpoints=(six,)), {}) == six
    lan = NetworkState(name="lan", id="3", project="demo", driver="macvlan", parent="eth0")
    beside = EndpointRecord(network="lan", ip="192.0.2.9")  # the machine is no way there
    assert published_endpoint(AttachedContainer(endpoints=(beside,)), {"lan": lan}) is None
    with_both = AttachedContainer(endpoints=(beside, ON_OUTSIDE))
    assert published_endpoint(with_both, {**NETWORKS, "lan": lan}) == ON_OUTSIDE


def test_the_firewall_forwards_what_is_reserved(reserved: list[Reservation]) -> None:
    """To the container's port; nothing where there is no way out, or the port behind a reservation is unknown."""
    reservations, ports = reserve_ports([Port(target=80, host_ip=LOOPBACK)], "")
    reserved += reservations
    web = AttachedContainer(endpoints=(ON_OUTSIDE,), ports=ports, reservations=reservations)

    expected = PublishedPort(
        host_ip=LOOPBACK,
        host_port=reservations[0].host_port,
        protocol="tcp",
        container_ip="10.1.0.2",
        container_port=80,
    )
    assert forwarded_ports([web], NETWORKS) == [expected]
    assert forwarded_ports([AttachedContainer(ports=ports, reservations=reservations)], NETWORKS) == []
    lost = AttachedContainer(endpoints=(ON_OUTSIDE,), reservations=reservations)
    assert forwarded_ports([lost], NETWORKS) == []


def test_a_restart_keeps_its_host_ports(reserved: list[Reservation]) -> None:
    """Also one that the machine has chosen; what it asks for besides is new."""
    wanted = [Port(target=80, host_ip=LOOPBACK)]
    first, _ = reserve_ports(wanted, "")
    second, bindings = reserve_ports([*wanted, Port(target=53, host_ip=LOOPBACK, protocol="udp")], "", first)
    reserved += second

    assert second[0] is first[0]
    assert [(b.host_ip, b.protocol, b.target) for b in bindings] == [
        (LOOPBACK, "tcp", 80),
        (LOOPBACK, "udp", 53),
    ]
    assert [target_port(reservation, bindings) for reservation in second] == [80, 53]


def test_a_port_that_is_taken_gives_back_the_others(reserved: list[Reservation]) -> None:
    """What was there before stays reserved: whoever has it goes on."""
    first, _ = reserve_ports([Port(target=80, host_ip=LOOPBACK)], "")
    reserved += first
    free = socket.create_server((LOOPBACK, 0))
    number = free.getsockname()[1]
    free.close()
    with taken() as busy:
        wanted = [
            Port(target=80, host_ip=LOOPBACK),
            Port(target=81, published=(number, number), host_ip=LOOPBACK),
            Port(target=82, published=(busy, busy), host_ip=LOOPBACK),
        ]
        with pytest.raises(PortInUse, match=str(busy)):
            reserve_ports(wanted, "", first)

    socket.create_server((LOOPBACK, number)).close()
    with pytest.raises(OSError, match="in use"):
        socket.create_server((LOOPBACK, first[0].host_port))


def test_a_port_without_an_address_is_published_on_the_networks_own(reserved: list[Reservation]) -> None:
    """0.0.0.0 there, or in the file, is every address."""
    (own,), _ = reserve_ports([Port(target=80)], LOOPBACK)
    (everywhere,), _ = reserve_ports([Port(target=80, host_ip="0.0.0.0")], LOOPBACK)
    reserved += [own, everywhere]

    assert (own.host_ip, everywhere.host_ip) == (LOOPBACK, "")


def test_a_replacement_takes_over_the_ports_that_it_wants(reserved: list[Reservation]) -> None:
    """The others stay with the old container until it stops; its names are answered no more."""
    reservations, ports = reserve_ports(
        [Port(target=80, host_ip=LOOPBACK), Port(target=81, host_ip=LOOPBACK)], ""
    )
    reserved += reservations
    old = AttachedContainer(ports=ports, reservations=list(reservations), named=True)
    new = AttachedContainer(ports=ports[:1], reservations=reservations[:1], standby=True)

    hand_over(old, new)

    assert (old.reservations, old.ports, old.named) == (reservations[1:], ports[1:], False)
    assert (new.named, new.standby) == (True, False)


def test_lost_ports_are_left_out_when_they_are_taken_again(reserved: list[Reservation]) -> None:
    """The container goes on with the others; an address of every kind is one reservation."""
    reservations, ports = reserve_ports([Port(target=80, host_ip=LOOPBACK)], "")
    for reservation in reservations:
        reservation.close()
    with taken() as busy:
        again = reserve_again(
            [*ports, PortBinding(host_ip=LOOPBACK, host_port=busy, protocol="tcp", target=81)]
        )
    reserved += again

    assert [item.host_port for item in again] == [reservations[0].host_port]
