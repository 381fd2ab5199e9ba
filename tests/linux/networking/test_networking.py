"""The facade: what exists after each call, what stays the same, and what a later process makes of remains."""

from __future__ import annotations

import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import AddressesExhausted, AlreadyExists, NetworkError
from pycompose.networking import ipam, netns
from pycompose.networking.api import Networking
from pycompose.networking.model import EndpointSpec, NetworkSpec, Pool, PublishedPort, link_alias

from tests.support.netlab import OUTSIDE, addresses, ask, ip, nft, run
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.netlab import Lab


def endpoint(network: str, key: str = "lab/web/1", **more: object) -> EndpointSpec:
    return EndpointSpec(network=network, lease_key=key, **more)  # type: ignore[arg-type]


def links() -> list[dict[str, object]]:
    found = json.loads(ip("-json", "-details", "link", "show"))
    assert isinstance(found, list)
    return found


def test_a_network_is_made_once_and_removed_without_a_trace(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    first = networking.ensure_network(NetworkSpec(name="net", project="lab"))
    again = networking.ensure_network(NetworkSpec(name="net", project="lab", internal=True))

    assert first == again == networking.inspect("net")
    assert (first.subnet, first.gateway) == ("172.17.0.0/16", "172.17.0.1")
    assert f"inet {first.gateway}/16" in ip("address", "show", first.bridge)
    assert netns.read_sysctl("ipv4/ip_forward") == "1"
    assert networking.list_networks("lab") == [first]
    assert networking.list_networks("other") == []

    networking.remove_network("net")
    networking.remove_network("net")
    assert [link["ifname"] for link in links()] == ["lo"]
    assert netns.read_sysctl("ipv4/ip_forward") == "0"
    assert "pyc_" not in nft("list", "tables")
    assert networking.inspect("net") is None


def test_one_of_many_makes_a_network(empty_lab: Lab) -> None:
    """Whoever else wanted to is told that the name is taken."""

    def create(_number: int) -> str:
        other = Networking(empty_lab.paths)
        try:
            return other.create_network(NetworkSpec(name="net", project="")).id
        except AlreadyExists:
            return ""
        finally:
            other.close()

    with ThreadPoolExecutor(8) as pool:
        made = [found for found in pool.map(create, range(8)) if found]

    state = empty_lab.networking.inspect("net")
    empty_lab.networking.remove_network("net")
    assert state is not None
    assert made == [state.id]


def test_a_network_that_cannot_be_made_is_not_there(empty_lab: Lab) -> None:
    """No record that `network ls` shows, and the machine is no router for it."""
    options = {"com.docker.network.bridge.name": "lo%"}
    with pytest.raises(NetworkError):
        empty_lab.networking.create_network(NetworkSpec(name="net", project="", options=options))

    assert empty_lab.networking.list_networks() == []
    assert [link["ifname"] for link in links()] == ["lo"]
    assert netns.read_sysctl("ipv4/ip_forward") == "0"


@pytest.mark.parametrize("name", ("host", "none"))
def test_nobody_makes_a_network_that_is_always_there(empty_lab: Lab, name: str) -> None:
    """`networks: {n: {name: host}}`: that is a `network_mode`."""
    for external in (False, True):
        with pytest.raises(NetworkError, match=f"network {name}: is a pre-defined network") as caught:
            empty_lab.networking.ensure_network(NetworkSpec(name=name, project="lab", external=external))
        assert caught.value.hint == f"for a service: network_mode: {name}"


def test_forwarding_that_was_on_stays_on(empty_lab: Lab) -> None:
    netns.write_sysctls({"ipv4/ip_forward": "1"})
    try:
        empty_lab.networking.ensure_network(NetworkSpec(name="net", project="lab"))
        assert "pyc_host" not in nft("list", "tables")
        empty_lab.networking.remove_network("net")
        assert netns.read_sysctl("ipv4/ip_forward") == "1"
    finally:
        netns.write_sysctls({"ipv4/ip_forward": "0"})


def test_a_machine_that_was_no_router_routes_for_containers_only(wired_lab: Lab) -> None:
    """Two neighbours can't use the machine as their router only because containers run on it."""
    wired_lab.run(lambda: ip("link", "add", "uplink2", "type", "veth", "peer", "name", "wire2"))
    wired_lab.stack.callback(ip, "link", "delete", "uplink2")
    ip("address", "add", "198.51.100.1/24", "dev", "uplink2")
    ip("link", "set", "uplink2", "up")
    ip("link", "set", "wire2", "up")
    ip("neighbour", "add", "198.51.100.9", "lladdr", "02:00:00:00:00:09", "dev", "uplink2")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
        wire.bind(("wire2", 0x0800))
        wire.settimeout(0.3)
        wired_lab.from_outside(lambda: ip("route", "add", "198.51.100.0/24", "via", "192.0.2.1"))

        def shout() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"through", ("198.51.100.9", 9))

        wired_lab.from_outside(shout)
        with pytest.raises(TimeoutError):
            wire.recv(2048)
    assert "packets 1" in nft("list", "chain", "inet", "pyc_host", "forward")


def test_a_subnet_avoids_routes_and_other_networks(empty_lab: Lab) -> None:
    empty_lab.make_outside()
    ip("route", "add", "172.16.0.0/12", "via", OUTSIDE)
    first = empty_lab.networking.ensure_network(NetworkSpec(name="a", project="lab"))
    second = empty_lab.networking.ensure_network(NetworkSpec(name="b", project="lab"))

    assert (first.subnet, second.subnet) == ("192.168.0.0/20", "192.168.16.0/20")
    taken = Pool(subnet="192.168.4.0/24")
    with pytest.raises(NetworkError, match=r"network c: create: subnet 192\.168\.4\.0/24 overlaps"):
        empty_lab.networking.ensure_network(NetworkSpec(name="c", project="lab", pools=(taken,)))


def test_networks_made_at_once_get_different_subnets(empty_lab: Lab) -> None:
    """By different processes, as far as the lock can tell."""
    others = [Networking(empty_lab.paths) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        states = list(
            pool.map(
                lambda n: others[n % 4].ensure_network(NetworkSpec(name=f"n{n}", project="lab")), range(12)
            )
        )
    for other in others:
        other.close()

    assert len({state.subnet for state in states}) == 12


def test_small_pools_of_ones_own_run_out_with_a_hint(empty_lab: Lab) -> None:
    networking = Networking(empty_lab.paths, pools=ipam.parse_pools("10.9.0.0/24/25"))
    for name in ("a", "b"):
        networking.ensure_network(NetworkSpec(name=name, project="lab"))
    with pytest.raises(AddressesExhausted, match="choose subnet") as caught:
        networking.ensure_network(NetworkSpec(name="c", project="lab"))
    networking.close()

    assert "PYCOMPOSE_ADDRESS_POOLS" in str(caught.value.hint)


def test_an_external_network_must_exist(empty_lab: Lab) -> None:
    spec = NetworkSpec(name="shared", project="lab", external=True)
    with pytest.raises(NetworkError, match="network shared: declared as external"):
        empty_lab.networking.ensure_network(spec)
    owner = empty_lab.networking.ensure_network(NetworkSpec(name="shared", project="other"))

    assert empty_lab.networking.ensure_network(spec) == owner
    empty_lab.networking.cleanup("lab")
    assert empty_lab.networking.inspect("shared") == owner
    empty_lab.networking.cleanup("other")


@pytest.mark.parametrize(
    ("spec", "message"),
    (
        (NetworkSpec(name="n", project="lab", driver="overlay"), "driver 'overlay' is not supported"),
        (NetworkSpec(name="../n", project="lab"), "not a valid name"),
        (NetworkSpec(name="n", project="lab", enable_ipv4=False), "both disabled"),
        (NetworkSpec(name="n", project="lab", pools=(Pool(gateway="10.0.0.1"),)), "gateway needs a subnet"),
        (
            NetworkSpec(name="n", project="lab", pools=(Pool(subnet="10.0.0.0/24", gateway="10.0.1.1"),)),
            "gateway: 10.0.1.1 is not a host address of 10.0.0.0/24",
        ),
        (
            NetworkSpec(name="n", project="lab", options={"com.docker.network.driver.mtu": "x"}),
            "mtu: 'x' is not a number",
        ),
        (
            NetworkSpec(name="n", project="lab", options={"com.docker.network.bridge.name": "lo"}),
            "an interface lo exists already",
        ),
    ),
)
def test_a_network_that_can_not_be_is_refused(empty_lab: Lab, spec: NetworkSpec, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        empty_lab.networking.ensure_network(spec)
    assert empty_lab.networking.list_networks() == []


def test_driver_options_are_obeyed(empty_lab: Lab) -> None:
    options = {
        "com.docker.network.bridge.name": "mybridge",
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.container_iface_prefix": "net",
    }
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab", options=options))
    one, two = empty_lab.connect("n"), empty_lab.connect("n")
    two.serve()
    empty_lab.firewall()

    assert one.endpoints[0].attachment.interface == "net0"
    assert "mtu 1400" in one.run(lambda: ip("link", "show", "net0"))
    assert one.ask(two.ip, 80, wait_s=0.3) == "silence"
    assert any(link["ifname"] == "mybridge" for link in links())


def test_a_small_mtu_leaves_no_room_for_ipv6(empty_lab: Lab) -> None:
    """Below 1280 bytes the kernel takes it off a link; a bridge that somebody has made so small gets its own again."""
    small = {"com.docker.network.driver.mtu": "1000"}
    made = empty_lab.networking.ensure_network(NetworkSpec(name="small", project="lab", options=small))
    web = empty_lab.connect("small")
    plain = empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    ip("link", "set", plain.bridge, "mtu", "1000")
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))

    assert "mtu 1000" in ip("link", "show", made.bridge)
    assert "mtu 1000" in web.run(lambda: ip("link", "show", "eth0"))
    assert "mtu 1500" in ip("link", "show", plain.bridge)
    assert "inet6" not in ip("address", "show", plain.bridge)
    with pytest.raises(NetworkError, match="IPv6 needs 1280 bytes at least, not 1000"):
        empty_lab.networking.ensure_network(
            NetworkSpec(name="six", project="lab", enable_ipv6=True, options=small)
        )


def test_a_container_gets_interfaces_routes_and_dockers_sysctls(empty_lab: Lab) -> None:
    for name, internal in (("a", False), ("b", False), ("c", True)):
        empty_lab.networking.ensure_network(NetworkSpec(name=name, project="lab", internal=internal))
    key = "7" * 64
    states = empty_lab.networking.connect(
        key,
        [endpoint("a"), endpoint("b", gw_priority=1, interface_name="wan"), endpoint("c", priority=5)],
    )
    pin = empty_lab.paths.netns(key)

    assert [(s.network.name, s.attachment.interface, bool(s.gateway)) for s in states] == [
        ("c", "eth0", False),
        ("a", "eth1", False),
        ("b", "wan", True),
    ]
    routes = netns.enter(pin, lambda: ip("route"))
    assert f"default via {states[2].gateway} dev wan" in routes
    assert addresses(pin)["lo"] == {"127.0.0.1/8", "::1/128"}
    assert netns.enter(pin, lambda: netns.read_sysctl("ipv4/ip_unprivileged_port_start")) == "0"
    assert netns.enter(pin, lambda: netns.read_sysctl("ipv4/ping_group_range")).split() == ["0", "2147483647"]
    assert netns.enter(pin, lambda: netns.read_sysctl("ipv6/conf/eth0/disable_ipv6")) == "1"
    ports = [link for link in links() if str(link["ifname"]).startswith("veth")]
    assert {link["ifalias"] for link in ports} == {link_alias("lab")}
    assert all(link["linkinfo"]["info_slave_data"]["hairpin"] for link in ports)  # type: ignore[index]


def test_without_networks_there_is_loopback(empty_lab: Lab) -> None:
    alone = empty_lab.connect()

    assert alone.endpoints == []
    assert list(addresses(alone.pin)) == ["lo"]
    alone.serve()
    assert alone.ask("127.0.0.1", 80) == "127.0.0.1"


def test_connecting_again_repairs_and_changes_nothing_else(empty_lab: Lab) -> None:
    for name in ("a", "b"):
        empty_lab.networking.ensure_network(NetworkSpec(name=name, project="lab"))
    container = empty_lab.connect("a", "b")
    specs = [endpoint(name, f"lab/s/{int(container.id, 16)}") for name in ("a", "b")]
    index = container.run(lambda: socket.if_nametoindex("eth0"))
    container.run(lambda: ip("address", "flush", "dev", "eth0"))
    container.run(lambda: ip("link", "delete", "eth1"))

    assert empty_lab.networking.connect(container.id, specs) == container.endpoints
    assert container.run(lambda: socket.if_nametoindex("eth0")) == index
    assert f"{container.ip}/16" in addresses(container.pin)["eth0"]
    assert f"{container.endpoints[1].attachment.ip}/16" in addresses(container.pin)["eth1"]


def test_addresses_stay_with_the_service_and_not_with_the_container(empty_lab: Lab) -> None:
    """Whoever resolved a name once (nginx) still reaches the service after a recreate."""
    networking = empty_lab.networking
    networking.ensure_network(NetworkSpec(name="n", project="lab"))
    (before,) = networking.connect("a" * 64, [endpoint("n")])
    networking.connect("b" * 64, [endpoint("n", "lab/db/1")])
    networking.disconnect("a" * 64)
    (other,) = networking.connect("c" * 64, [endpoint("n", "lab/new/1")])
    (after,) = networking.connect("d" * 64, [endpoint("n")])

    assert (after.attachment.ip, after.attachment.mac) == (before.attachment.ip, before.attachment.mac)
    assert other.attachment.ip != before.attachment.ip
    networking.disconnect("d" * 64)
    networking.release("lab/web/1")
    (reused,) = networking.connect("e" * 64, [endpoint("n", "lab/later/1")])
    assert (reused.attachment.ip, reused.attachment.mac != before.attachment.mac) == (
        before.attachment.ip,
        True,
    )


def test_two_living_containers_can_not_have_one_lease(empty_lab: Lab) -> None:
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    empty_lab.networking.connect("a" * 64, [endpoint("n")])
    with pytest.raises(
        NetworkError, match="network n: connect bbbbbbbbbbbb: lab/web/1 is still aaaaaaaaaaaa"
    ):
        empty_lab.networking.connect("b" * 64, [endpoint("n")])


def test_fixed_addresses(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    pool = Pool(
        subnet="10.5.0.0/24", ip_range="10.5.0.128/25", gateway="10.5.0.254", aux={"router": "10.5.0.128"}
    )
    networking.ensure_network(NetworkSpec(name="n", project="lab", pools=(pool,)))
    (fixed,) = networking.connect(
        "a" * 64, [endpoint("n", ipv4_address="10.5.0.7", mac_address="02:aa:bb:cc:dd:ee")]
    )
    (free,) = networking.connect("b" * 64, [endpoint("n", "lab/db/1")])

    assert (fixed.attachment.ip, fixed.attachment.mac, fixed.gateway) == (
        "10.5.0.7",
        "02:aa:bb:cc:dd:ee",
        "10.5.0.254",
    )
    assert free.attachment.ip == "10.5.0.129"
    with pytest.raises(
        NetworkError, match=r"network n: lease 10\.5\.0\.7: the address is taken by container "
    ):
        networking.connect("c" * 64, [endpoint("n", "lab/x/1", ipv4_address="10.5.0.7")])
    networking.ensure_network(NetworkSpec(name="auto", project="lab"))
    with pytest.raises(NetworkError, match="a fixed address needs a subnet"):
        networking.connect("d" * 64, [endpoint("auto", "lab/x/1", ipv4_address="172.17.0.9")])


def test_ipv6_is_there_when_asked_for(wired_lab: Lab) -> None:
    """Addresses of the derived prefix, usable at once, published by DNAT, masqueraded on the way out."""
    wired_lab.networking.ensure_network(NetworkSpec(name="six", project="lab", enable_ipv6=True))
    one, two = wired_lab.connect("six"), wired_lab.connect("six")
    one.serve(family=socket.AF_INET6)
    wired_lab.serve(wired_lab.from_outside, 80, family=socket.AF_INET6)
    port = PublishedPort(host_ip="", host_port=8080, protocol="tcp", container_ip=one.ip6, container_port=80)
    wired_lab.firewall(port)

    assert one.ip6.startswith("fd")
    assert two.ask(one.ip6, 80) == two.ip6
    assert two.ask("2001:db8::2", 80) == "2001:db8::1"
    assert two.ask("2001:db8::1", 8080) == wired_lab.state("six").gateway6
    assert wired_lab.from_outside(lambda: ask("2001:db8::1", 8080)) == "2001:db8::2"
    other = wired_lab.connect("front")
    assert other.ask(one.ip6, 80, wait_s=0.3) == "silence"


def test_a_new_owner_of_an_address_announces_itself(empty_lab: Lab) -> None:
    """Neighbours remember MACs for half a minute; a gratuitous ARP makes them forget."""
    state = empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as ear:
        ear.bind((state.bridge, 0x0806))
        ear.settimeout(10)
        container = empty_lab.connect("n")
        frame = ear.recv(100)

    assert frame[:6] == b"\xff" * 6
    assert frame[22:28].hex(":") == container.endpoints[0].attachment.mac
    assert frame[28:32] == frame[38:42] == socket.inet_aton(container.ip)


def test_a_new_owner_of_an_ipv6_address_announces_itself(empty_lab: Lab) -> None:
    """An unsolicited neighbour advertisement does the same (RFC 4861, 7.2.6)."""
    spec = NetworkSpec(name="n", project="lab", enable_ipv6=True)
    state = empty_lab.networking.ensure_network(spec)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD)) as ear:
        ear.bind((state.bridge, 0x86DD))
        ear.settimeout(10)
        attachment = empty_lab.connect("n").endpoints[0].attachment
        target = socket.inet_pton(socket.AF_INET6, attachment.ip6)
        # Type 136 with the target; the hardware address is in the option behind.
        heard = (ear.recv(200) for _ in range(100))
        frame = next(one for one in heard if one[20] == 58 and one[54] == 136 and one[62:78] == target)

    assert frame[58] & 0x20  # "override": whoever knows another address forgets it
    assert frame[80:86].hex(":") == attachment.mac


def test_a_network_in_use_stays(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    networking.ensure_network(NetworkSpec(name="n", project="lab"))
    networking.connect("a" * 64, [endpoint("n")])
    with pytest.raises(NetworkError, match="network n: remove: has active endpoints: lab/web/1"):
        networking.remove_network("n")
    networking.disconnect("a" * 64)
    networking.disconnect("a" * 64)
    networking.remove_network("n")


def test_a_missing_network_is_named(empty_lab: Lab) -> None:
    with pytest.raises(NetworkError, match="network gone: connect aaaaaaaaaaaa: no such network"):
        empty_lab.networking.connect("a" * 64, [endpoint("gone")])


def test_containers_connect_in_parallel(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    networking.ensure_network(NetworkSpec(name="n", project="lab"))
    keys = [f"{n:064x}" for n in range(1, 21)]
    with ThreadPoolExecutor(8) as pool:
        states = list(
            pool.map(lambda key: networking.connect(key, [endpoint("n", f"lab/s/{int(key, 16)}")]), keys)
        )

    assert len({state[0].attachment.ip for state in states}) == 20
    assert threading.active_count() < 20
    networking.disconnect(*keys)


def test_what_a_killed_process_left_is_found_and_removed(empty_lab: Lab) -> None:
    """Cut off at every stage: registered only, half a bridge, a namespace alone, links whose file is lost."""
    networking = empty_lab.networking
    lost = networking.ensure_network(NetworkSpec(name="lost", project="lab"))
    networking.connect("a" * 64, [endpoint("lost")])
    os.unlink(empty_lab.paths.network("lost"))
    kept = networking.ensure_network(NetworkSpec(name="kept", project="lab"))
    networking.connect("b" * 64, [endpoint("kept", "lab/db/1")])
    ip("link", "delete", kept.bridge)
    empty_lab.firewall()
    neighbour = networking.ensure_network(NetworkSpec(name="theirs", project="other"))
    networking.connect("c" * 64, [endpoint("theirs", "other/web/1")])
    networking.connect("d" * 64, [])

    later = Networking(empty_lab.paths)
    later.cleanup("lab", ["a" * 64, "d" * 64])
    names = {link["ifname"] for link in links()}

    assert not names & {lost.bridge, kept.bridge}
    assert neighbour.bridge in names
    assert sum(1 for name in names if str(name).startswith("veth")) == 1
    assert os.listdir(empty_lab.paths.netns("x").parent) == ["c" * 64]
    later.cleanup("other")
    later.close()


def test_a_broken_connect_can_be_finished(empty_lab: Lab) -> None:
    """The bridge is gone: the error says so, ensure_network repairs, and connecting goes on."""
    networking = empty_lab.networking
    state = networking.ensure_network(NetworkSpec(name="n", project="lab"))
    ip("link", "delete", state.bridge)
    with pytest.raises(NetworkError, match=f"network n: connect: its bridge {state.bridge} is gone"):
        networking.connect("a" * 64, [endpoint("n")])

    assert networking.ensure_network(NetworkSpec(name="n", project="lab")) == state
    (connected,) = networking.connect("a" * 64, [endpoint("n")])
    assert f"{connected.attachment.ip}/16" in addresses(empty_lab.paths.netns("a" * 64))["eth0"]


def test_another_firewalls_policy_is_reported_with_the_remedy(empty_lab: Lab) -> None:
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    nft(
        "add table ip filter; "
        "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    )
    try:
        (warning,) = empty_lab.firewall()
        assert "chain FORWARD of table ip filter" in warning
        assert "iptables -I FORWARD -i pc-+ -j ACCEPT" in warning
        nft('add rule ip filter FORWARD iifname "pc-*" accept')
        assert empty_lab.firewall() == ()
    finally:
        nft("delete table ip filter")


@pytest.mark.parametrize(
    ("rules", "drops"),
    (
        (["ct state established,related accept", "reject with icmp type host-prohibited"], True),
        (['counter log prefix "lost " drop'], True),
        (['iifname "eth9" drop', "meta l4proto tcp reject", "limit rate 1/second drop"], False),
        (["counter accept", "drop"], False),
    ),
)
def test_a_last_rule_that_refuses_the_rest_is_a_policy_too(
    empty_lab: Lab, rules: list[str], *, drops: bool
) -> None:
    """As firewalld has it, and what distributions install as iptables' rules."""
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    nft("add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; }")
    try:
        for rule in rules:
            nft(f"add rule ip filter FORWARD {rule}")
        warnings = empty_lab.firewall()
        nft('insert rule ip filter FORWARD iifname "pc-*" accept')
        assert empty_lab.firewall() == ()
    finally:
        nft("delete table ip filter")

    assert ["chain FORWARD of table ip filter" in warning for warning in warnings] == [True] * drops


def test_firewalld_is_told_in_its_own_words(empty_lab: Lab) -> None:
    """A rule of nft's would be gone with its next reload."""
    state = empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    nft(
        "add table inet firewalld; "
        "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }; "
        "add rule inet firewalld filter_FORWARD reject with icmpx type admin-prohibited"
    )
    try:
        (warning,) = empty_lab.firewall()
        (kept,) = empty_lab.networking.open_firewalls("lab", [state], empty_lab.paths.run / "opened.json")
    finally:
        nft("delete table inet firewalld")

    assert "firewall-cmd --permanent --zone=trusted --add-interface=pc-+" in warning
    assert "firewalld looks after it" in kept


@requires("iptables-legacy")
@pytest.mark.parametrize(
    ("rules", "drops"),
    (
        (["-i eth9 -j ACCEPT", "-j REJECT"], True),
        (["-m state --state ESTABLISHED -j ACCEPT", "-j DROP"], True),
        (["-i eth9 -j DROP", "-p tcp -j REJECT"], False),
        (["-j ACCEPT", "-j DROP"], False),
    ),
)
def test_the_old_iptables_last_rule_is_read(empty_lab: Lab, rules: list[str], *, drops: bool) -> None:
    """The first rule without a condition decides."""
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    try:
        for rule in rules:
            run("iptables-legacy", "-A", "FORWARD", *rule.split())
        warnings = empty_lab.firewall()
    finally:
        run("iptables-legacy", "-F", "FORWARD")

    assert len(warnings) == drops


@requires("iptables-legacy")
def test_the_old_iptables_is_seen_too(empty_lab: Lab) -> None:
    """Its tables are not nftables': asked by getsockopt, only when they exist."""
    empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab"))
    assert empty_lab.firewall() == ()
    run("iptables-legacy", "-P", "FORWARD", "DROP")
    try:
        (warning,) = empty_lab.firewall()
    finally:
        run("iptables-legacy", "-P", "FORWARD", "ACCEPT")

    assert "chain FORWARD" in warning
    assert empty_lab.firewall() == ()


def test_a_network_without_masquerading_keeps_its_addresses(wired_lab: Lab) -> None:
    """Answers come back to them, but nothing new comes in."""
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    state = wired_lab.networking.ensure_network(NetworkSpec(name="plain", project="lab", options=options))
    client = wired_lab.connect("plain")
    wired_lab.serve(wired_lab.from_outside, 80)
    wired_lab.from_outside(lambda: ip("route", "add", state.subnet, "via", "192.0.2.1"))
    wired_lab.firewall()

    client.serve()

    assert client.ask(OUTSIDE, 80) == client.ip
    assert wired_lab.from_outside(lambda: ask(client.ip, 80, wait_s=0.3)) == "silence"


def test_halves_of_files_and_switched_forwarding_are_cleaned_up(empty_lab: Lab) -> None:
    """Killed while writing a file, or between removing the last network and switching forwarding off."""
    networking = empty_lab.networking
    networking.ensure_network(NetworkSpec(name="n", project="lab"))
    half = empty_lab.paths.networks / ".n.json.4711"
    half.write_text("{", encoding="ascii")
    os.unlink(empty_lab.paths.network("n"))
    networking.cleanup("lab")

    assert os.listdir(empty_lab.paths.networks) == []
    assert netns.read_sysctl("ipv4/ip_forward") == "0"
    assert [link["ifname"] for link in links()] == ["lo"]


def test_interface_names_must_be_possible_and_different(empty_lab: Lab) -> None:
    networking = empty_lab.networking
    for name in ("a", "b"):
        networking.ensure_network(NetworkSpec(name=name, project="lab"))
    with pytest.raises(NetworkError, match="two networks ask for one interface_name"):
        networking.connect("a" * 64, [endpoint("a", interface_name="x"), endpoint("b", interface_name="x")])
    with pytest.raises(NetworkError, match="network a: interface_name 'a/b' is not an interface name"):
        networking.connect("a" * 64, [endpoint("a", interface_name="a/b")])
    assert not networking.list_networks("lab")[0].static


def test_pools_can_be_set_for_the_machine(empty_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYCOMPOSE_ADDRESS_POOLS", "10.77.0.0/16/26")
    networking = Networking(empty_lab.paths)
    state = networking.ensure_network(NetworkSpec(name="small", project="lab"))
    networking.close()

    assert state.subnet == "10.77.0.0/26"


def test_a_one_offs_lease_goes_with_it(empty_lab: Lab) -> None:
    """`run` a thousand times must not use a subnet up."""
    networking = empty_lab.networking
    networking.ensure_network(NetworkSpec(name="n", project="lab"))
    (first,) = networking.connect("a" * 64, [endpoint("n", "lab/job/1/aaaa")])
    networking.disconnect("a" * 64)
    (second,) = networking.connect("b" * 64, [endpoint("n", "lab/job/2/bbbb")])

    assert (second.attachment.ip, second.attachment.mac != first.attachment.mac) == (
        first.attachment.ip,
        True,
    )
