"""How a network leads to the world: what outsiders reach by containers' own addresses, under which they leave."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking import netns
from pycompose.networking.model import EndpointSpec, NetworkSpec, OpenPort, Pool

from tests.support.netlab import ANSWERS_S, OUTSIDE, OUTSIDE6, SILENCE_S, UPLINK, UPLINK6, ask, checksum, ip
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.netlab import Container, Lab

pytestmark = requires("ip")
BRIDGE = "com.docker.network.bridge."


def network(lab: Lab, options: dict[str, str], name: str = "mine", *, internal: bool = False) -> None:
    """Make a network with both families, which the host outside has a route to."""
    prefix = {key: ("com.docker.network." if key.startswith("host_") else BRIDGE) for key in options}
    spec = NetworkSpec(
        name=name,
        project="lab",
        internal=internal,
        enable_ipv6=True,
        options={prefix[key] + key: value for key, value in options.items()},
    )
    state = lab.networking.ensure_network(spec)
    lab.from_outside(lambda: ip("route", "add", state.subnet, "via", UPLINK))
    lab.from_outside(lambda: ip("route", "add", state.subnet6, "via", UPLINK6))


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(container: Container, *ports: int) -> None:
    """Answer on ports of both families."""
    for port in ports:
        for family in (socket.AF_INET, socket.AF_INET6):
            container.serve(port, family=family)


def asked(lab: Lab, address: str, port: int, wait_s: float = ANSWERS_S) -> str:
    """Return what the host outside is answered by a container itself: its own address."""
    return lab.from_outside(lambda: ask(address, port, wait_s=wait_s))


def pings(lab: Lab, address: str, wait_s: float = ANSWERS_S) -> bool:
    """Tell whether a ping from the host outside comes back (RFC 792, RFC 4443)."""
    six = ":" in address
    echo = struct.pack(">BBHHH", 128 if six else 8, 0, 0, 7, 1)
    if not six:
        echo = echo[:2] + checksum(echo) + echo[4:]
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )

    def ping() -> bool:
        with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
            sock.settimeout(wait_s)
            sock.sendto(echo, (address, 0))
            with contextlib.suppress(TimeoutError):
                while sock.recvfrom(2048)[1][0] != address:
                    pass
                return True
            return False

    return lab.from_outside(ping)


@pytest.mark.parametrize("key", ("gateway_mode_ipv4", "gateway_mode_ipv6"))
def test_routed(wired_lab: Lab, key: str) -> None:
    """Published ports are reached at the container's address, nothing else but pings; the other family is as ever."""
    network(wired_lab, {key: "routed"})
    server = wired_lab.connect("mine")
    serve(server, 80, 81)
    for address in (OUTSIDE, OUTSIDE6):
        wired_lab.serve(wired_lab.from_outside, 80, family=family_of(address), address=address)
    four, six = server.ip, server.ip6
    opened, closed = (six, four) if key.endswith("6") else (four, six)
    wired_lab.firewall(
        opened=[OpenPort(container_ip=address, protocol="tcp", container_port=80) for address in (opened,)]
    )

    assert asked(wired_lab, opened, 80) == (OUTSIDE6 if ":" in opened else OUTSIDE)
    assert asked(wired_lab, opened, 81, SILENCE_S) == "silence"
    assert asked(wired_lab, closed, 80, SILENCE_S) == "silence"
    seen = {version: server.ask(out, 80) for version, out in ((4, OUTSIDE), (6, OUTSIDE6))}
    assert seen == ({4: four, 6: UPLINK6} if opened == four else {4: UPLINK, 6: six})


def test_pings_of_a_routed_network(wired_lab: Lab) -> None:
    network(wired_lab, {"gateway_mode_ipv4": "routed", "gateway_mode_ipv6": "routed"}, "routed")
    network(wired_lab, {}, "plain")
    routed, plain = wired_lab.connect("routed"), wired_lab.connect("plain")
    wired_lab.firewall()

    assert pings(wired_lab, routed.ip)
    assert pings(wired_lab, routed.ip6)
    assert not pings(wired_lab, plain.ip, SILENCE_S)


def test_without_protection(wired_lab: Lab) -> None:
    """Every port is reached, and what leaves has the machine's address all the same."""
    network(wired_lab, {"gateway_mode_ipv4": "nat-unprotected", "gateway_mode_ipv6": "nat-unprotected"})
    server = wired_lab.connect("mine")
    serve(server, 80)
    wired_lab.serve(wired_lab.from_outside, 80)
    wired_lab.firewall()

    assert asked(wired_lab, server.ip, 80) == OUTSIDE
    assert asked(wired_lab, server.ip6, 80) == OUTSIDE6
    assert server.ask(OUTSIDE, 80) == UPLINK


def test_isolated(wired_lab: Lab) -> None:
    """The machine has no address on it, so that it and the containers don't reach each other."""
    network(wired_lab, {"gateway_mode_ipv4": "isolated", "gateway_mode_ipv6": "isolated"}, internal=True)
    one, two = wired_lab.connect("mine"), wired_lab.connect("mine")
    serve(two, 80)
    wired_lab.serve(wired_lab.run, 7777)
    wired_lab.firewall()
    state = wired_lab.state("mine")

    assert "inet" not in ip("-o", "address", "show", "dev", state.bridge, "scope", "global")
    assert one.ask(state.gateway, 7777, wait_s=SILENCE_S) == "silence"
    assert one.ask(two.ip, 80) == one.ip


def test_somebody_else_is_the_gateway(wired_lab: Lab) -> None:
    """inhibit_ipv4: the machine has no IPv4 address there; whoever has the gateway's is believed."""
    network(wired_lab, {"inhibit_ipv4": "true"})
    client, router = wired_lab.connect("mine"), wired_lab.connect("mine")
    state = wired_lab.state("mine")
    router.run(lambda: ip("address", "add", f"{state.gateway}/16", "dev", "eth0"))
    serve(router, 80)
    wired_lab.firewall()

    assert state.gateway not in ip("-o", "-4", "address", "show", "dev", state.bridge)
    assert f"default via {state.gateway}" in client.run(lambda: ip("route"))
    assert client.ask(state.gateway, 80) == client.ip


@pytest.mark.parametrize(
    ("key", "source", "outside"),
    (("host_ipv4", "192.0.2.7", OUTSIDE), ("host_ipv6", "2001:db8::7", OUTSIDE6)),
)
def test_a_source_of_its_own(wired_lab: Lab, key: str, source: str, outside: str) -> None:
    """What leaves the network has the address that was chosen, what leaves others the first one."""
    ip("address", "add", source + ("/64" if ":" in source else "/24"), "dev", "uplink", "preferred_lft", "0")
    network(wired_lab, {key: source})
    network(wired_lab, {}, "other")
    client, other = wired_lab.connect("mine"), wired_lab.connect("other")
    wired_lab.serve(wired_lab.from_outside, 80, family=family_of(outside), address=outside)
    wired_lab.firewall()

    assert client.ask(outside, 80) == source
    assert other.ask(outside, 80) == (UPLINK6 if ":" in outside else UPLINK)


def test_sysctls_of_an_interface(empty_lab: Lab) -> None:
    """They are written once it is there; one that isn't is named."""
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    container = empty_lab.connect()
    good = EndpointSpec(network="n", lease_key="lab/s/1", sysctls={"ipv4/conf/IFNAME/log_martians": "1"})
    bad = EndpointSpec(network="n", lease_key="lab/s/2", sysctls={"ipv4/conf/IFNAME/nothing": "1"})
    empty_lab.networking.connect(container.id, [good])
    other = empty_lab.connect()

    assert container.run(lambda: netns.read_sysctl("ipv4/conf/eth0/log_martians")) == "1"
    with pytest.raises(
        NetworkError, match=r"network n: sysctl net\.ipv4\.conf\.IFNAME\.nothing=1: No such file"
    ):
        empty_lab.networking.connect(other.id, [bad])


def test_two_addresses_are_enough(empty_lab: Lab) -> None:
    """A /31 and a /127 have a gateway and one container (RFC 3021, RFC 6164)."""
    pools = (Pool(subnet="10.66.0.4/31"), Pool(subnet="fd00:66::4/127"))
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab", enable_ipv6=True, pools=pools))
    container = empty_lab.connect("n")
    for family in (socket.AF_INET, socket.AF_INET6):
        empty_lab.serve(empty_lab.run, 7777, family=family)
    empty_lab.firewall()

    assert (container.ip, container.ip6) == ("10.66.0.5", "fd00:66::5")
    assert container.ask("10.66.0.4", 7777) == container.ip
    assert container.ask("fd00:66::4", 7777) == container.ip6
