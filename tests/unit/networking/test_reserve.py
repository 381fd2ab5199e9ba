"""What a reserved host port asks of the firewall and of the relay."""

from __future__ import annotations

import pytest
from pycompose.networking.ports.reserve import Reservation, adopt_reservations, reserve_port

FOUR, SIX = "10.0.0.2", "fd00::2"


@pytest.mark.parametrize(
    ("host_ip", "container", "targets"),
    (
        ("", (FOUR, ""), [FOUR]),
        ("", (FOUR, SIX), [FOUR, SIX]),
        ("", ("", SIX), [SIX]),
        ("0.0.0.0", (FOUR, SIX), [FOUR]),
        ("127.0.0.1", (FOUR, SIX), [FOUR]),
        ("::", (FOUR, SIX), [SIX]),
        ("2001:db8::1", (FOUR, SIX), [SIX]),
        ("2001:db8::1", (FOUR, ""), []),  # the relay's
        ("::1", (FOUR, SIX), []),  # the relay's: the kernel can't lead [::1] elsewhere
    ),
)
def test_one_rule_for_each_family_that_both_have(
    host_ip: str, container: tuple[str, str], targets: list[str]
) -> None:
    """The kernel translates within a family only."""
    reservation = Reservation(host_ip=host_ip, host_port=8080, protocol="tcp", sockets=())
    published = reservation.published(*container, 80)

    assert [port.container_ip for port in published] == targets
    assert {(port.host_ip, port.host_port, port.container_port) for port in published} <= {
        (host_ip, 8080, 80)
    }


@pytest.mark.parametrize(
    ("host_ip", "container_ip6", "relayed"),
    (
        ("127.0.0.1", "", []),
        ("::1", "", ["::1"]),
        ("::1", SIX, ["::1"]),
        ("", "", ["::"]),
        ("", SIX, ["::"]),  # for connections to [::1] alone
    ),
)
def test_what_the_relay_has_to_do(host_ip: str, container_ip6: str, relayed: list[str]) -> None:
    """IPv6 connections to a container without it, and those to [::1]."""
    reservation = reserve_port(host_ip, None, "udp")
    try:
        found = reservation.relayed(container_ip6)
        assert [sock.getsockname()[0] for sock in found] == relayed
    finally:
        reservation.close()


def test_sockets_of_several_ports_are_told_apart() -> None:
    """A supervisor gets them from the keeper in one row."""
    made = [
        reserve_port(address, None, kind)
        for address, kind in (("", "tcp"), ("", "udp"), ("127.0.0.1", "tcp"))
    ]
    try:
        again = adopt_reservations([sock for one in made for sock in one.sockets])
    finally:
        for one in made:
            one.close()

    assert [(one.host_ip, one.host_port, one.protocol) for one in again] == [
        (one.host_ip, one.host_port, one.protocol) for one in made
    ]
