"""What the kernel has of our table, told by nft: the judge of our encoder."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking.firewall.nft import Table, accept
from pycompose.networking.model import NetworkSpec, PublishedPort
from pycompose.networking.netlink.nfnetlink import Netfilter, Transaction

from tests.support.netlab import nft
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.netlab import Lab

pytestmark = requires("nft")


def listing() -> list[dict[str, Any]]:
    found = json.loads(nft("-j", "list", "table", "inet", "pyc_lab"))["nftables"]
    assert isinstance(found, list)
    return found


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [item[kind] for item in listing() if item.get(kind, {}).get("name") == name]
    assert isinstance(found, dict)
    return found


def publish(host_ip: str, host_port: int, protocol: str, ip: str, port: int) -> PublishedPort:
    return PublishedPort(
        host_ip=host_ip, host_port=host_port, protocol=protocol, container_ip=ip, container_port=port
    )


def test_sets_and_maps_hold_what_they_should(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    front = networking.ensure_network(NetworkSpec(name="front", project="lab", enable_ipv6=True))
    closed = networking.ensure_network(NetworkSpec(name="closed", project="lab", internal=True))
    empty_lab.firewall(
        publish("", 8080, "tcp", "172.17.0.2", 80),
        publish("0.0.0.0", 5353, "udp", "172.17.0.2", 53),
        publish("127.0.0.1", 8081, "tcp", "172.17.0.3", 81),
        publish("::", 8080, "tcp", "fd00::2", 80),
        publish("2001:db8::1", 8082, "tcp", "fd00::2", 82),
        publish("", 9999, "tcp", "172.18.0.2", 80),  # internal: not published
    )

    assert set(named("set", "bridges")["elem"]) == {front.bridge, closed.bridge}
    assert named("set", "internal")["elem"] == [closed.bridge]
    assert named("set", "guarded4")["elem"] == [{"range": ["172.17.0.0", "172.18.255.255"]}]
    assert named("set", "out4")["elem"] == [{"prefix": {"addr": "172.17.0.0", "len": 16}}]
    assert named("map", "ports4")["type"] == ["inet_proto", "inet_service"]
    flat = {json.dumps(pair) for pair in named("map", "ports4")["elem"]}
    assert flat == {
        json.dumps([{"concat": ["tcp", 8080]}, {"concat": ["172.17.0.2", 80]}]),
        json.dumps([{"concat": ["udp", 5353]}, {"concat": ["172.17.0.2", 53]}]),
    }
    assert named("map", "bound4")["elem"] == [
        [{"concat": ["127.0.0.1", "tcp", 8081]}, {"concat": ["172.17.0.3", 81]}]
    ]
    assert named("map", "ports6")["elem"] == [[{"concat": ["tcp", 8080]}, {"concat": ["fd00::2", 80]}]]
    assert named("map", "bound6")["elem"] == [
        [{"concat": ["2001:db8::1", "tcp", 8082]}, {"concat": ["fd00::2", 82]}]
    ]


def test_every_rule_and_chain_says_what_it_is_for(empty_lab: Lab) -> None:
    empty_lab.networking.ensure_network(NetworkSpec(name="front", project="lab"))
    empty_lab.firewall()
    text = nft("list", "table", "inet", "pyc_lab")
    rules = [item["rule"] for item in listing() if "rule" in item]

    assert all(rule.get("comment") for rule in rules)
    assert 'comment "pycompose project lab"' in text
    for line in (
        "type filter hook prerouting priority raw; policy accept;",
        'iifname != "lo" ip daddr 127.0.0.0/8 counter packets 0 bytes 0 drop',
        "iifname != @bridges ip daddr @guarded4 counter packets 0 bytes 0 drop",
        "type nat hook prerouting priority dstnat; policy accept;",
        "fib daddr type local jump published",
        "dnat ip to meta l4proto . th dport map @ports4",
        "dnat ip to ip daddr . meta l4proto . th dport map @bound4",
        "ip saddr 127.0.0.0/8 masquerade",
        "ct status dnat ip saddr 172.17.0.0/16 ip daddr 172.17.0.0/16 masquerade",
        "ip saddr @out4 oifname != @bridges masquerade",
        "ct state established,related accept",
        "iifname . oifname @same accept",
        "oifname @bridges ct status dnat accept",
    ):
        assert line in text


def test_replacing_the_table_keeps_connections(empty_lab: Lab) -> None:
    """All in one transaction, and established flows are not asked again."""
    empty_lab.networking.ensure_network(NetworkSpec(name="front", project="lab"))
    container = empty_lab.connect("front")
    server = container.run(lambda: socket.create_server(("0.0.0.0", 80)))
    port = publish("127.0.0.1", 8080, "tcp", container.ip, 80)
    empty_lab.firewall(port)
    with server, socket.create_connection(("127.0.0.1", 8080), 10) as client:
        connection, _sender = server.accept()
        with connection:
            for _ in range(5):
                empty_lab.firewall(port)
            client.sendall(b"still here")
            connection.settimeout(10)
            assert connection.recv(100) == b"still here"


def test_hundreds_of_ports_fit(empty_lab: Lab) -> None:
    empty_lab.networking.ensure_network(NetworkSpec(name="front", project="lab"))
    empty_lab.firewall(*(publish("", 10000 + n, "tcp", "172.17.0.2", 80) for n in range(1500)))

    assert len(named("map", "ports4")["elem"]) == 1500


def test_a_refused_object_is_named_and_nothing_is_changed(empty_lab: Lab) -> None:
    transaction = Transaction()
    table = Table(transaction, "inet", "pyc_lab")
    table.create("x", replace=True)
    table.chain("good", "fine")
    table.rule("missing", "goes nowhere", accept())
    with Netfilter() as netfilter:
        with pytest.raises(
            NetworkError, match=r"nftables: rule 'goes nowhere' of chain missing: No such file or directory"
        ):
            netfilter.commit(transaction)
        netfilter.commit(Transaction())  # the socket is still good

    assert "pyc_lab" not in nft("list", "tables")


def test_a_port_that_is_published_twice_goes_to_the_last(empty_lab: Lab) -> None:
    """The map has one value for a key; a duplicate would be refused by the kernel as a whole."""
    empty_lab.networking.ensure_network(NetworkSpec(name="front", project="lab"))
    empty_lab.firewall(publish("", 80, "tcp", "172.17.0.2", 80), publish("", 80, "tcp", "172.17.0.3", 80))

    assert named("map", "ports4")["elem"] == [[{"concat": ["tcp", 80]}, {"concat": ["172.17.0.3", 80]}]]
