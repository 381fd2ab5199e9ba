"""Frames that no honest program sends, from inside a container: they reach nobody, and harm nobody.

A container has CAP_NET_RAW, as Docker's: it may put any bytes on its wire.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest
from pycompose.networking.model import NetworkSpec

from tests.support.netlab import (
    OUTSIDE,
    SILENCE_S,
    UPLINK,
    Container,
    checksum,
    forged_syn,
    ip,
    mac_of,
)
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.netlab import Lab

pytestmark = requires("ip")

BROADCAST = b"\xff" * 6
ETH_P_ALL, ETH_P_ARP, ETH_P_8021Q = 0x0003, b"\x08\x06", b"\x81\x00"
TAGS = (b"", ETH_P_8021Q + b"\0\0", ETH_P_8021Q + b"\0\1", 2 * (ETH_P_8021Q + b"\0\2"))
FORGED = "203.0.113.77"


def send(container: Container, *frames: bytes) -> None:
    """Put frames on the container's wire."""

    def inside() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth0", 0))
            for frame in frames:
                sock.send(frame)

    container.run(inside)


@contextlib.contextmanager
def listening(
    run: Callable[[Callable[[], socket.socket]], socket.socket], link: str
) -> Iterator[Callable[[], Sequence[bytes]]]:
    """Give a function that returns the frames which have come in over a link so far."""

    def inside() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.bind((link, ETH_P_ALL))
        return sock

    with run(inside) as sock:

        def heard() -> Sequence[bytes]:
            sock.settimeout(SILENCE_S)
            found = []
            with contextlib.suppress(TimeoutError):
                while True:
                    data, (_name, _proto, kind, *_rest) = sock.recvfrom(4096)
                    if kind != socket.PACKET_OUTGOING:
                        found.append(data)
            return found

        yield heard


def mac(container: Container) -> bytes:
    """Return a container's hardware address."""
    return bytes.fromhex(container.endpoints[0].attachment.mac.replace(":", ""))


def router_advertisement(source: bytes) -> bytes:
    """Return an offer to be everybody's IPv6 router, and of a prefix (RFC 4861, 4.2)."""
    sender, everybody = (
        socket.inet_pton(socket.AF_INET6, "fe80::bad"),
        socket.inet_pton(socket.AF_INET6, "ff02::1"),
    )
    prefix = struct.pack(
        ">BBBBIII16s", 3, 4, 64, 0xC0, 3600, 3600, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    )
    body = (
        struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + struct.pack(">BB6s", 1, 1, source) + prefix
    )
    pseudo = sender + everybody + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + checksum(pseudo + body) + body[4:]
    head = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + sender + everybody
    return b"\x33\x33\0\0\0\1" + source + b"\x86\xdd" + head + body


def arp_reply(sender: bytes, claimed: str, *, receiver: bytes = BROADCAST, target: str = "") -> bytes:
    """Return a frame that says that `claimed` is at `sender`."""
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 2) + sender + socket.inet_aton(claimed)
    return receiver + sender + ETH_P_ARP + body + receiver + socket.inet_aton(target or claimed)


def test_a_router_advertisement(wired_lab: Lab) -> None:
    """CVE-2020-13401: neither the machine nor a neighbour takes the container for its router, or an address from it."""
    for network in ("front", "six"):
        wired_lab.networking.ensure_network(
            NetworkSpec(name=network, project=wired_lab.project, enable_ipv6=network == "six")
        )
        attacker, victim = wired_lab.connect(network), wired_lab.connect(network)
        wired_lab.firewall()
        with listening(victim.run, "eth0") as heard:
            send(attacker, *[router_advertisement(mac(attacker))] * 3)
            assert any(frame[12:14] == b"\x86\xdd" for frame in heard()), "the frames themselves arrive"
        for run in (wired_lab.run, victim.run):
            known = run(lambda: ip("-6", "-o", "address") + ip("-6", "route"))
            assert "2001:db8:bad:" not in known
            assert "via fe80::bad" not in known


@pytest.mark.parametrize("kind", ("gratuitous", "told"))
def test_a_neighbour_that_claims_the_gateways_address(wired_lab: Lab, kind: str) -> None:
    """ARP spoofing: the victim's way out goes on leading to the gateway."""
    attacker, victim = wired_lab.connect("front"), wired_lab.connect("front")
    wired_lab.serve(wired_lab.from_outside, 80)
    wired_lab.firewall()
    gateway = wired_lab.state("front").gateway
    assert victim.ask(OUTSIDE, 80) == UPLINK
    receiver, target = (BROADCAST, gateway) if kind == "gratuitous" else (mac(victim), victim.ip)
    for _ in range(3):
        send(attacker, arp_reply(mac(attacker), gateway, receiver=receiver, target=target))
        assert victim.ask(OUTSIDE, 80, wait_s=3) == UPLINK
        # Linux believes a change only a second after the last one (arp(7), locktime).
        with listening(victim.run, "eth0") as heard:
            heard()


def test_a_neighbour_that_has_anothers_hardware_address(wired_lab: Lab) -> None:
    """A frame with the victim's address as its source doesn't bring the victim's frames to the attacker."""
    attacker, victim, peer = (wired_lab.connect("front") for _ in range(3))
    victim.serve()
    wired_lab.firewall()
    assert peer.ask(victim.ip, 80) == peer.ip
    forged = forged_syn(FORGED, FORGED, 9, sender=mac(victim), receiver=BROADCAST)
    for _ in range(3):
        send(attacker, forged)
        assert peer.ask(victim.ip, 80, wait_s=SILENCE_S) == peer.ip
        send(attacker, forged)
        assert wired_lab.ask(victim.ip, 80) == wired_lab.state("front").gateway


def test_sources_that_arent_the_containers(wired_lab: Lab) -> None:
    """Nothing leaves the machine with a source address that isn't ours to use, and no other network gets it."""
    attacker, other = wired_lab.connect("front"), wired_lab.connect("back")
    wired_lab.firewall()
    router = mac_of(wired_lab.state("front").bridge)
    assert attacker.ask(wired_lab.state("front").gateway, 9) == "refused"
    frames = [
        forged_syn(source, target, 4444, sender=mac(attacker), receiver=router)
        for source in (FORGED, other.ip, UPLINK, "127.0.0.1", "0.0.0.0")
        for target in (OUTSIDE, other.ip)
    ]
    honest = forged_syn(attacker.ip, OUTSIDE, 4445, sender=mac(attacker), receiver=router)
    with (
        listening(wired_lab.from_outside, "wire") as outside,
        listening(other.run, "eth0") as inside,
    ):
        send(attacker, *frames, honest)
        ports = [struct.unpack_from(">H", frame, 36)[0] for frame in outside() if len(frame) >= 38]
        assert 4445 in ports, "frames of this kind do leave"
        assert 4444 not in ports
        assert not [frame for frame in inside() if b"\x11\x5c" in frame]


def test_tags_broadcasts_and_offers(wired_lab: Lab) -> None:
    """802.1Q tags, doubled too, broadcasts, multicasts and DHCP offers stay on their network; tags open no way."""
    attacker, other = wired_lab.connect("front"), wired_lab.connect("back")
    other.serve()
    wired_lab.serve(wired_lab.run, 7777, address="127.0.0.1")
    wired_lab.firewall()
    router, source = mac_of(wired_lab.state("front").bridge), mac(attacker)
    assert attacker.ask(wired_lab.state("front").gateway, 9) == "refused"
    frames = []
    for receiver in (router, BROADCAST, b"\x01\x80\xc2\0\0\0", b"\x01\x00\x5e\0\0\x01"):
        for target, port in ((other.ip, 80), ("127.0.0.1", 7777), ("255.255.255.255", 68)):
            plain = forged_syn(attacker.ip, target, port, sender=source, receiver=receiver)
            frames += [plain[:12] + tags + plain[12:] for tags in TAGS]
    with (
        listening(wired_lab.from_outside, "wire") as outside,
        listening(other.run, "eth0") as inside,
        listening(attacker.run, "eth0") as answers,
    ):
        send(attacker, *frames)
        assert not [
            frame
            for frame in (*outside(), *inside())
            if source in frame[:12] or attacker.ip.encode() in frame
        ]
        # A reset says that nobody is there; SYN and ACK would be an answer of a server.
        assert not [
            frame
            for frame in answers()
            if frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[47] == 0x12
        ]
    assert other.ask(wired_lab.state("back").gateway, 9) == "refused", "others go on as before"
