"""Reserved host ports, and the relay behind them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError, PortInUse
from pycompose.networking.ports.reserve import Reservation, adopt_reservations, reserve_port

from tests.support.netlab import SILENCE_S, UPLINK, UPLINK6, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netlab import Lab

UDP = socket.SOCK_DGRAM


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop that runs on a thread."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


@contextlib.contextmanager
def reserved(host_ip: str, published: tuple[int, int] | None, protocol: str = "tcp") -> Iterator[Reservation]:
    reservation = reserve_port(host_ip, published, protocol)
    try:
        yield reservation
    finally:
        reservation.close()


def test_a_port_without_address_is_reserved_for_both_families() -> None:
    with reserved("", (8080, 8080)) as reservation:
        assert reservation.addresses == ("0.0.0.0", "::")
        assert len(reservation.filenos()) == 2
        assert ask("127.0.0.1", 8080, wait_s=SILENCE_S) == "silence"  # not a hanging connection: no answer
    assert ask("127.0.0.1", 8080) == "refused"


@pytest.mark.parametrize("protocol", ("tcp", "udp"))
def test_a_taken_port_is_named_with_its_owner(protocol: str) -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else UDP
    with socket.socket(socket.AF_INET6, kind) as other:
        other.bind(("::1", 8080))
        if protocol == "tcp":
            other.listen()
        with pytest.raises(PortInUse) as caught, reserved("", (8080, 8080), protocol):
            pass

    assert str(caught.value).startswith(f"port 8080/{protocol}: publish on 0.0.0.0: already in use by ")
    assert f"(pid {os.getpid()})" in str(caught.value)
    with reserved("", (8080, 8080), protocol):  # the half that worked was given back
        pass


def test_a_range_gives_its_first_free_port_until_it_is_full() -> None:
    with (
        reserved("", (9000, 9002)) as first,
        reserved("127.0.0.1", (9001, 9001)),
        reserved("", (9000, 9002)) as second,
    ):
        assert (first.host_port, second.host_port) == (9000, 9002)
        with pytest.raises(PortInUse, match="port 9000-9002/tcp"), reserved("", (9000, 9002)):
            pass


def test_any_port_has_one_number_for_both_families() -> None:
    with reserved("", None) as one, reserved("", None) as two, reserved("", None, "udp") as three:
        for reservation in (one, two, three):
            numbers = {sock.getsockname()[1] for sock in reservation.sockets}
            assert numbers == {reservation.host_port}
        assert one.host_port != two.host_port


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"port 80/tcp: publish on 203\.0\.113\.1") as caught:
        reserve_port("203.0.113.1", (80, 80), "tcp")

    assert caught.value.hint == "203.0.113.1 is not an address of this machine"
    with pytest.raises(NetworkError, match="protocol is not supported"):
        reserve_port("", (80, 80), "dccp")


def test_connections_in_time_wait_do_not_hold_a_port() -> None:
    with reserved("127.0.0.1", (8090, 8090)):
        pass
    with socket.create_server(("127.0.0.1", 8090)) as server:
        client = socket.create_connection(("127.0.0.1", 8090))
        accepted, _sender = server.accept()
        accepted.close()
        client.close()
    with reserved("", (8090, 8090)):
        pass


def test_descriptors_become_reservations_again() -> None:
    """As the next supervisor gets them from the keeper: all ports of a container in one row."""
    with reserved("", (8080, 8080)) as web, reserved("127.0.0.1", (53, 53), "udp") as dns:
        copies = [socket.socket(fileno=os.dup(fd)) for fd in (*web.filenos(), *dns.filenos())]
        again = adopt_reservations(copies)
        found = [(one.host_ip, one.host_port, one.protocol, len(one.sockets)) for one in again]
        for one in again:
            one.close()

    assert found == [("", 8080, "tcp", 2), ("127.0.0.1", 53, "udp", 1)]


def test_what_the_firewall_is_to_do_depends_on_families() -> None:
    with reserved("", (8080, 8080)) as both:
        assert [port.container_ip for port in both.published("10.0.0.2", "", 80)] == ["10.0.0.2"]
        assert [port.container_ip for port in both.published("10.0.0.2", "fd00::2", 80)] == [
            "10.0.0.2",
            "fd00::2",
        ]
    with reserved("127.0.0.1", (8080, 8080)) as four:
        assert [port.container_ip for port in four.published("10.0.0.2", "fd00::2", 80)] == ["10.0.0.2"]
        assert four.relayed() == ()
    with reserved("::1", (8080, 8080)) as six:
        assert six.published("10.0.0.2", "fd00::2", 80) == []
        assert len(six.relayed("fd00::2")) == 1


def test_the_relay_brings_ipv6_to_a_container_without_it(
    wired_lab: Lab, loop: asyncio.AbstractEventLoop
) -> None:
    """From the machine itself ([::1]), and from outside to its IPv6 address; IPv4 goes by the kernel."""
    web = wired_lab.connect("front")
    web.serve()
    web.serve(53, kind=UDP)
    gateway = wired_lab.state("front").gateway
    with reserved("", (8080, 8080)) as tcp, reserved("", (5353, 5353), "udp") as udp:
        tcp.relay_to(loop, web.ip, 80)
        udp.relay_to(loop, web.ip, 53)
        wired_lab.firewall(*tcp.published(web.ip, "", 80), *udp.published(web.ip, "", 53))

        assert wired_lab.ask("::1", 8080) == gateway
        assert wired_lab.ask("::1", 5353, kind=UDP) == gateway
        assert wired_lab.from_outside(lambda: ask(UPLINK6, 8080)) == gateway
        assert wired_lab.from_outside(lambda: ask(UPLINK6, 5353, kind=UDP)) == gateway
        assert wired_lab.from_outside(lambda: ask(UPLINK, 8080)) == "192.0.2.2"
    assert wired_lab.ask("::1", 8080) == "refused"
    with reserved("", (8080, 8080)):  # closing was complete
        pass


def test_the_relay_carries_bulk_both_ways_and_half_closed_connections(
    wired_lab: Lab, loop: asyncio.AbstractEventLoop
) -> None:
    """The client sends all, closes its half, and then reads the echo of everything."""
    web = wired_lab.connect("front")
    server = web.run(lambda: socket.create_server(("0.0.0.0", 80)))
    payload = os.urandom(1 << 22)

    def echo() -> None:
        connection, _sender = server.accept()
        with connection:
            received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            connection.sendall(received)

    thread = threading.Thread(target=echo)
    thread.start()
    with reserved("::1", (8080, 8080)) as port:
        port.relay_to(loop, web.ip, 80)
        with socket.create_connection(("::1", 8080)) as client:
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(1 << 16), b"")) == payload
        thread.join()
    server.close()


def test_the_relay_resets_who_finds_nobody(wired_lab: Lab, loop: asyncio.AbstractEventLoop) -> None:
    web = wired_lab.connect("front")
    with reserved("::1", (8080, 8080)) as port:
        port.relay_to(loop, web.ip, 80)
        with socket.create_connection(("::1", 8080)) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
