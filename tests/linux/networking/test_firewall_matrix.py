"""Who reaches whom, as a matrix, with br_netfilter calling the rules or not."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest
from pycompose.networking.model import NetworkSpec, PublishedPort

from tests.support.netlab import (
    ANSWERS_S,
    OUTSIDE,
    OUTSIDE6,
    SILENCE_S,
    UPLINK,
    UPLINK6,
    answered,
    ask,
    forged_syn,
    ip,
    mac_of,
    write_sysctl,
)
from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netlab import Container, Lab

pytestmark = requires("ip")
UDP = socket.SOCK_DGRAM


@pytest.fixture(params=["0", "1"], ids=["bridged", "filtered"], autouse=True)
def _br_netfilter(request: pytest.FixtureRequest, private_host: object) -> Iterator[None]:
    """Run with and without br_netfilter handing bridged packets to the rules."""
    write_sysctl("bridge/bridge-nf-call-iptables", request.param)
    yield
    write_sysctl("bridge/bridge-nf-call-iptables", "1")


def tcp(host_port: int, container: Container, *, host_ip: str = "") -> PublishedPort:
    return PublishedPort(
        host_ip=host_ip, host_port=host_port, protocol="tcp", container_ip=container.ip, container_port=80
    )


def test_containers_of_one_network_reach_each_other(wired_lab: Lab) -> None:
    one, two = wired_lab.connect("front"), wired_lab.connect("front")
    one.serve()
    wired_lab.firewall()

    assert two.ask(one.ip, 80) == two.ip


def test_another_network_is_out_of_reach_but_for_published_ports(wired_lab: Lab) -> None:
    server, client = wired_lab.connect("front"), wired_lab.connect("back")
    server.serve()
    wired_lab.firewall(tcp(8080, server))

    assert client.ask(server.ip, 80, wait_s=SILENCE_S) == "silence"
    assert client.ask(client.endpoints[0].gateway, 8080) == client.ip
    assert client.ask(UPLINK, 8080) == client.ip


def test_a_container_reaches_itself_and_its_neighbour_through_a_published_port(wired_lab: Lab) -> None:
    server, neighbour = wired_lab.connect("front"), wired_lab.connect("front")
    server.serve()
    gateway = wired_lab.state("front").gateway
    wired_lab.firewall(tcp(8080, server))

    assert server.ask(gateway, 8080) == gateway
    assert neighbour.ask(gateway, 8080) == gateway


def test_the_world_reaches_published_ports_and_is_seen_as_it_is(wired_lab: Lab) -> None:
    server = wired_lab.connect("front")
    server.serve()
    wired_lab.firewall(tcp(8080, server), tcp(8082, server, host_ip=UPLINK))

    assert wired_lab.from_outside(lambda: ask(UPLINK, 8080)) == OUTSIDE
    assert wired_lab.from_outside(lambda: ask(UPLINK, 8082)) == OUTSIDE


def test_the_machine_reaches_published_ports_on_loopback(wired_lab: Lab) -> None:
    server = wired_lab.connect("front")
    server.serve()
    gateway = wired_lab.state("front").gateway
    wired_lab.firewall(tcp(8080, server), tcp(8081, server, host_ip="127.0.0.1"))

    assert wired_lab.ask("127.0.0.1", 8080) == gateway
    assert wired_lab.ask("127.0.0.1", 8081) == gateway
    assert wired_lab.ask(UPLINK, 8080) == UPLINK


def test_a_port_on_loopback_is_closed_to_the_world(wired_lab: Lab) -> None:
    server = wired_lab.connect("front")
    server.serve()
    wired_lab.firewall(tcp(8081, server, host_ip="127.0.0.1"))

    assert wired_lab.from_outside(lambda: ask(UPLINK, 8081)) == "refused"


def test_a_forged_frame_to_loopback_gets_no_answer(wired_lab: Lab) -> None:
    """Route_localnet lets 127.0.0.1 cross the wire; the guard keeps that from neighbours (moby #45610)."""
    server = wired_lab.connect("front")
    server.serve()
    wired_lab.firewall(tcp(8081, server, host_ip="127.0.0.1"))
    router = mac_of("uplink")
    assert wired_lab.from_outside(lambda: ask(UPLINK, 9)) == "refused"  # now they know each other's MAC

    def knock() -> bool:
        frame = forged_syn(OUTSIDE, "127.0.0.1", 8081, sender=mac_of("wire"), receiver=router)
        return answered("wire", frame, 8081)

    assert not wired_lab.from_outside(knock)


def test_a_container_does_not_reach_services_on_the_machines_loopback(wired_lab: Lab) -> None:
    """CVE-2020-8558: with route_localnet on the bridge, only the guard stands before 127.0.0.1."""
    server = wired_lab.connect("front")
    wired_lab.serve(wired_lab.run, 7777, address="127.0.0.1")
    wired_lab.firewall(tcp(8080, server))
    router = mac_of(wired_lab.state("front").bridge)
    assert server.ask(wired_lab.state("front").gateway, 9) == "refused"  # now they know each other's MAC

    def knock() -> bool:
        frame = forged_syn(server.ip, "127.0.0.1", 7777, sender=mac_of("eth0"), receiver=router)
        return answered("eth0", frame, 7777)

    assert not server.run(knock)


def test_the_knocking_itself_works(wired_lab: Lab) -> None:
    """The same frame to an address of the machine is answered: silence in the other tests means something."""
    client = wired_lab.connect("front")
    gateway = wired_lab.state("front").gateway
    wired_lab.serve(wired_lab.run, 7777)
    wired_lab.firewall()
    router = mac_of(wired_lab.state("front").bridge)

    def knock() -> bool:
        frame = forged_syn(client.ip, gateway, 7777, sender=mac_of("eth0"), receiver=router)
        return answered("eth0", frame, 7777, wait_s=ANSWERS_S)

    assert client.run(knock)


def test_routing_to_container_addresses_leads_nowhere(wired_lab: Lab) -> None:
    """Moby #41872: a host of the same wire sets a route to the container network."""
    server = wired_lab.connect("front")
    server.serve()
    wired_lab.firewall(tcp(8080, server))
    subnet = wired_lab.state("front").subnet
    wired_lab.from_outside(lambda: ip("route", "add", subnet, "via", UPLINK))

    assert wired_lab.from_outside(lambda: ask(server.ip, 80, wait_s=SILENCE_S)) == "silence"


def test_an_internal_network_is_closed_both_ways(wired_lab: Lab) -> None:
    inner, both, other = (
        wired_lab.connect("closed"),
        wired_lab.connect("closed", "front"),
        wired_lab.connect("front"),
    )
    for container in (inner, both):
        container.serve()
    wired_lab.serve(wired_lab.from_outside, 80)
    wired_lab.firewall(tcp(8080, inner))
    inner.run(lambda: ip("route", "add", "default", "via", wired_lab.state("closed").gateway))

    assert inner.ask(OUTSIDE, 80, wait_s=SILENCE_S) == "silence"
    assert other.ask(inner.ip, 80, wait_s=SILENCE_S) == "silence"
    assert wired_lab.from_outside(lambda: ask(UPLINK, 8080)) == "refused"
    assert inner.ask(both.endpoints[0].attachment.ip, 80) == inner.ip


def test_a_stolen_source_address_gets_no_answer(wired_lab: Lab) -> None:
    victim, thief = wired_lab.connect("back"), wired_lab.connect("front")
    victim.serve()
    wired_lab.firewall()
    thief.run(lambda: ip("address", "add", f"{victim.ip[:-1]}9/32", "dev", "eth0"))

    stolen = f"{victim.ip[:-1]}9"

    assert thief.run(lambda: ask(victim.ip, 80, source=stolen, wait_s=SILENCE_S)) == "silence"


def test_the_way_out_is_masqueraded(wired_lab: Lab) -> None:
    client = wired_lab.connect("front")
    wired_lab.serve(wired_lab.from_outside, 80)
    wired_lab.serve(wired_lab.from_outside, 53, kind=UDP)
    wired_lab.firewall()

    assert client.ask(OUTSIDE, 80) == UPLINK
    assert client.ask(OUTSIDE, 53, kind=UDP) == UPLINK


def test_udp_is_published_too(wired_lab: Lab) -> None:
    server, other = wired_lab.connect("front"), wired_lab.connect("back")
    server.serve(53, kind=UDP)
    port = PublishedPort(
        host_ip="", host_port=5353, protocol="udp", container_ip=server.ip, container_port=53
    )
    wired_lab.firewall(port)

    assert wired_lab.from_outside(lambda: ask(UPLINK, 5353, kind=UDP)) == OUTSIDE
    assert other.ask(UPLINK, 5353, kind=UDP) == other.ip
    gateway = wired_lab.state("front").gateway
    assert wired_lab.ask("127.0.0.1", 5353, kind=UDP) == gateway
    assert server.ask(gateway, 5353, kind=UDP) == gateway
    assert wired_lab.connect("front").ask(gateway, 5353, kind=UDP) == gateway


def test_a_udp_client_follows_the_port_to_another_container(wired_lab: Lab) -> None:
    """A flow without end would stay with the first container as long as the client keeps sending."""
    first, second = wired_lab.connect("front"), wired_lab.connect("front")
    first.serve(53, kind=UDP)

    def port(container: Container) -> PublishedPort:
        return PublishedPort(
            host_ip="", host_port=5353, protocol="udp", container_ip=container.ip, container_port=53
        )

    wired_lab.firewall(port(first))
    client = wired_lab.from_outside(lambda: socket.socket(socket.AF_INET, UDP))
    with client:
        client.settimeout(2)
        client.sendto(b"?", (UPLINK, 5353))
        assert client.recv(100) == OUTSIDE.encode()
        second.serve(53, kind=UDP)
        wired_lab.networking.disconnect(first.id)
        wired_lab.firewall(port(second))
        client.sendto(b"?", (UPLINK, 5353))

        assert client.recv(100) == OUTSIDE.encode()


def test_networks_are_apart_over_ipv6_too(wired_lab: Lab) -> None:
    """Both ways, and from outside by a route; published ports are the exception, seen from all sides."""
    for name in ("six", "seven"):
        spec = NetworkSpec(name=name, project=wired_lab.project, enable_ipv6=True)
        wired_lab.networking.ensure_network(spec)
    server, other = wired_lab.connect("six"), wired_lab.connect("seven")
    for container in (server, other):
        container.serve(family=socket.AF_INET6)
    port = PublishedPort(
        host_ip="", host_port=8080, protocol="tcp", container_ip=server.ip6, container_port=80
    )
    wired_lab.firewall(port)
    gateway = wired_lab.state("seven").gateway6
    wired_lab.from_outside(lambda: ip("-6", "route", "add", "default", "via", UPLINK6))

    assert other.ask(server.ip6, 80, wait_s=SILENCE_S) == "silence"
    assert server.ask(other.ip6, 80, wait_s=SILENCE_S) == "silence"
    for address in (server.ip6, other.ip6):
        assert wired_lab.from_outside(partial(ask, address, 80, wait_s=SILENCE_S)) == "silence"
    assert other.ask(gateway, 8080) == other.ip6
    assert wired_lab.from_outside(lambda: ask(UPLINK6, 8080)) == OUTSIDE6
    assert wired_lab.ask(server.ip6, 80) == wired_lab.state("six").gateway6
