"""`network create`, `ls`, `inspect`, `connect`: docker's flags and filters, and what containers see of them."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from tests.support.scenario import NEIGHBOUR_ADDRESS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.scenario import Host, Hosts

SLEEPS = "command: [sleep, '1000'], init: true, stop_signal: SIGKILL"
ALWAYS_THERE = ["bridge", "host", "none"]


def inspected(host: Host, name: str) -> Any:
    """Return what `network inspect` shows of one network."""
    (found,) = host.run("network", "inspect", name).ok().json()
    return found


def listed(host: Host, *filters: str) -> list[str]:
    """Return the names that `network ls` shows."""
    flags = [word for text in filters for word in ("--filter", text)]
    return host.run("network", "ls", *flags, "--format", "{{.Name}}").ok().stdout.split()


def started(host: Host, name: str, network: str, *flags: str) -> None:
    """Start a container that sleeps."""
    host.run(
        *("container", "run", "-d", "--init", "--stop-signal", "KILL", "--name", name, "--network", network),
        *(*flags, "busybox", "sleep", "1000"),
    ).ok()


def inside(host: Host, name: str, text: str) -> str:
    """Return what a shell in a container prints."""
    return host.run("container", "exec", name, "sh", "-c", text).ok().stdout


def test_what_a_network_is_made_with(busy: Host) -> None:
    """Containers get addresses of the range that nobody else has; all of it can be looked at, and comes back."""
    busy.run(
        *("network", "create", "made", "--attachable", "--scope", "local", "--ipam-driver", "default"),
        *("--ipam-opt", "place=here"),
        *("--subnet", "10.91.1.0/24", "--ip-range", "10.91.1.128/30", "--gateway", "10.91.1.9"),
        *("--aux-address", "router=10.91.1.129", "--aux-address", "printer=10.91.1.130"),
    ).ok()
    made = inspected(busy, "made")
    started(busy, "it-a", "made")
    seen = inside(busy, "it-a", "ip -o -4 addr show eth0; ip route show default")
    (place,) = inspected(busy, "made")["Containers"].values()
    busy.run("container", "rm", "-f", "it-a").ok()
    eventually(lambda: not busy.processes("pycompose.supervisor"))
    busy.watch.power_off()
    again = inspected(busy, "made")
    busy.run("network", "rm", "made").ok()

    assert made["IPAM"]["Config"] == [
        {
            "Subnet": "10.91.1.0/24",
            "IPRange": "10.91.1.128/30",
            "Gateway": "10.91.1.9",
            "AuxiliaryAddresses": {"router": "10.91.1.129", "printer": "10.91.1.130"},
        }
    ]
    assert (made["Attachable"], made["ConfigFrom"], made["Scope"]) == (True, {"Network": ""}, "local")
    assert (
        "10.91.1.128/24" in seen
    )  # the only one of four besides two of somebody else and a broadcast address
    assert "via 10.91.1.9" in seen
    assert place["IPv4Address"] == "10.91.1.128/24"
    assert re.fullmatch("[0-9a-f]{64}", place["EndpointID"])
    assert again["IPAM"] == made["IPAM"]
    assert made["IPAM"]["Options"] == {"place": "here"}  # shown; there is a warning that nobody takes them
    assert again["Attachable"]


def test_addresses_that_fit_no_subnet(busy: Host) -> None:
    """Nothing is made then; docker's reasons."""
    net = ("--subnet", "10.91.2.0/24")
    for flags, reason in (
        (("--gateway", "10.91.3.1"), "no matching subnet for gateway 10.91.3.1"),
        ((*net, "--gateway", "10.91.3.1"), "no matching subnet for gateway 10.91.3.1"),
        ((*net, "--gateway", "10.91.2.1", "--gateway", "10.91.2.2"), "has one already"),
        ((*net, "--ip-range", "10.91.3.0/28"), "no matching subnet for ip-range 10.91.3.0/28"),
        ((*net, "--aux-address", "router=10.91.3.1"), "no matching subnet for aux-address 10.91.3.1"),
        ((*net, "--aux-address", "10.91.2.9"), "aux-address 10.91.2.9: it has no name"),
        ((*net, "--subnet", "10.91.4.0/24"), "one subnet for each address family"),
        (("--ipam-driver", "other"), 'plugin "other" not found'),
    ):
        assert reason in busy.run("network", "create", *flags, "wrong").exited(1).stderr
    assert listed(busy) == ALWAYS_THERE


def test_what_only_clusters_have(busy: Host) -> None:
    """--scope swarm and --ingress are refused; networks that are there already aren't made or removed."""
    for flags in (("--scope", "swarm"), ("--ingress",)):
        assert "swarm" in busy.run("network", "create", *flags, "wrong").exited(1).stderr.lower()
    for name in ALWAYS_THERE:
        assert "predefined" in busy.run("network", "create", name).exited(1).stderr
        assert "pre-defined network and cannot be removed" in busy.run("network", "rm", name).exited(1).stderr
    assert listed(busy) == ALWAYS_THERE


def test_settings_that_networks_are_made_from(busy: Host) -> None:
    """--config-only makes no network, --config-from makes one of it; as long as there is one, the settings stay."""
    settings = ("--subnet", "10.91.5.0/24", "--gateway", "10.91.5.9", "--internal", "--label", "l=1")
    busy.run("network", "create", "settings", "--config-only", *settings).ok()
    busy.run("network", "create", "made", "--config-from", "settings").ok()
    kept, made = inspected(busy, "settings"), inspected(busy, "made")
    started(busy, "it-a", "made")
    seen = inside(busy, "it-a", "ip -o -4 addr show eth0; ip route")
    cannot = busy.run("network", "connect", "settings", "it-a").exited(1).stderr
    in_use = busy.run("network", "rm", "settings").exited(1).stderr
    mixed = busy.run("network", "create", "x", "--config-from", "settings", "--internal").exited(1).stderr
    missing = busy.run("network", "create", "x", "--config-from", "made").exited(1).stderr
    other = busy.run("network", "create", "same", "--subnet", "10.91.5.0/24").exited(1).stderr
    busy.run("container", "rm", "-f", "it-a").ok()
    busy.run("network", "rm", "made", "settings").ok()

    assert (kept["Driver"], kept["ConfigOnly"]) == ("null", True)
    assert (made["Driver"], made["ConfigFrom"]) == ("bridge", {"Network": "settings"})
    pool = {"Subnet": "10.91.5.0/24", "Gateway": "10.91.5.9"}
    assert kept["IPAM"]["Config"] == made["IPAM"]["Config"] == [pool]
    assert kept["Labels"] == made["Labels"] == {"l": "1"}
    assert "10.91.5.1/24" in seen
    assert "default" not in seen  # internal
    assert "it is a configuration, not a network" in cannot
    assert "configuration network is in use by made" in in_use
    assert "there can be no others" in mixed
    assert 'configuration network "made" does not exist' in missing
    assert "overlaps 10.91.5.0/24" in other  # made's: the settings themselves take no addresses


def test_listed_networks(busy: Host) -> None:
    """Those that are always there too; values of one filter are alternatives, but for labels."""
    for name in ("one", "two"):
        busy.run("network", "create", name, "--label", "kind=test", "--label", f"name={name}").ok()
    started(busy, "it-a", "one")
    started(busy, "it-h", "host")
    cases = {
        (): ["bridge", "host", "none", "one", "two"],
        ("name=o",): ["host", "none", "one", "two"],
        ("name=^one$", "name=^bri"): ["bridge", "one"],
        ("type=custom",): ["one", "two"],
        ("type=builtin",): ALWAYS_THERE,
        ("driver=host", "driver=null"): ["host", "none"],
        ("scope=local", "driver=bridge"): ["bridge", "one", "two"],
        ("scope=swarm",): [],
        ("label=kind=test", "label=name=two"): ["two"],
        ("dangling=true",): ["two"],
        ("dangling=0", "type=custom"): ["one"],
    }
    found = {filters: listed(busy, *filters) for filters in cases}
    host = inspected(busy, "host")
    by_id = listed(busy, f"id={host['Id'][3:20]}")
    wrong = [busy.run("network", "ls", "-f", text).code for text in ("type=x", "dangling=x", "x=y", "name=[")]
    none = inspected(busy, "none")
    busy.run("container", "rm", "-f", "it-a", "it-h").ok()
    before = inspected(busy, "bridge")["Id"]
    started(busy, "it-b", "bridge")
    bridge = inspected(busy, "bridge")
    busy.run("container", "rm", "-f", "it-b").ok()
    busy.run("network", "rm", "one", "two").ok()

    assert found == cases
    assert by_id == ["host"]
    assert wrong == [1, 1, 1, 1]
    assert [item["Name"] for item in host["Containers"].values()] == ["it-h"]
    assert (host["Driver"], none["Driver"], host["IPAM"]["Config"]) == ("host", "null", None)
    assert bridge["Id"] == before
    assert [item["Name"] for item in bridge["Containers"].values()] == ["it-b"]
    assert bridge["Options"]["com.docker.network.bridge.default_bridge"] == "true"


def test_what_inspect_shows_of_a_projects_network(busy: Host) -> None:
    """Attachable, the addresses of others, and in a container's entry what was asked for."""
    folder = busy.project(
        {
            "compose.yaml": f"""
services:
  a: {{image: busybox, {SLEEPS}, networks: {{n: {{ipv4_address: 10.91.6.7}}, m: }}, links: ["b:store"]}}
  b: {{image: busybox, {SLEEPS}, networks: [n, m]}}
  h: {{image: busybox, {SLEEPS}, network_mode: host}}
networks:
  n:
    attachable: true
    ipam: {{config: [{{subnet: 10.91.6.0/24, aux_addresses: {{router: 10.91.6.1}}}}]}}
  m: {{}}
"""
        }
    )
    told = busy.run("up", "-d", cwd=folder).ok().stderr
    network = inspected(busy, "demo_n")
    (a,) = busy.run("container", "inspect", "demo-a-1").ok().json()
    (h,) = busy.run("container", "inspect", "demo-h-1").ok().json()
    busy.run("down", cwd=folder).ok()

    assert "attachable" not in told
    (pool,) = network["IPAM"]["Config"]
    assert network["Attachable"]
    assert pool == {
        "Subnet": "10.91.6.0/24",
        "Gateway": "10.91.6.2",
        "AuxiliaryAddresses": {"router": "10.91.6.1"},
    }
    place = a["NetworkSettings"]["Networks"]["demo_n"]
    assert place["EndpointID"] == network["Containers"][a["Id"]]["EndpointID"]
    links = ["demo-b-1:store", "demo-b-1:b-1", "demo-b-1:demo-b-1"]
    assert (place["IPAMConfig"], place["Links"]) == ({"IPv4Address": "10.91.6.7"}, links)
    assert place["DriverOpts"] is None
    assert a["NetworkSettings"]["Networks"]["demo_m"]["IPAMConfig"] is None
    assert h["NetworkSettings"]["Networks"]["host"]["NetworkID"]


def test_link_local_addresses(busy: Host) -> None:
    """`link_local_ips`, and --link-local-ip: one more address of the interface; it is there again after a restart."""
    folder = busy.project(
        {
            "compose.yaml": f"""
services:
  a: {{image: busybox, {SLEEPS}, networks: {{default: {{link_local_ips: [169.254.8.8, 'fe80::8']}}}}}}
"""
        }
    )
    busy.run("up", "-d", cwd=folder).ok()
    busy.run("network", "create", "more").ok()
    wrong = busy.run("network", "connect", "--link-local-ip", "10.1.1.1", "more", "demo-a-1").exited(1).stderr
    busy.run("network", "connect", "--link-local-ip", "169.254.9.9", "more", "demo-a-1").ok()
    seen = inside(busy, "demo-a-1", "ip -o addr")
    busy.run("restart", cwd=folder).ok()
    again = inside(busy, "demo-a-1", "ip -o addr")
    busy.run("down", cwd=folder).ok()
    busy.run("network", "rm", "more").ok()

    assert "invalid link-local IP address 10.1.1.1" in wrong
    for text in (seen, again):
        assert re.search(r"eth0\s+inet 169\.254\.8\.8/16", text)
        assert re.search(r"eth0\s+inet6 fe80::8/64", text)
        assert re.search(r"eth1\s+inet 169\.254\.9\.9/16", text)


def test_a_link_is_a_name_of_ones_own(busy: Host) -> None:
    """`network connect --link`: what one container calls another, and nobody else does."""
    busy.run("network", "create", "linked").ok()
    for name in ("it-a", "it-b", "it-c"):
        started(busy, name, "linked" if name != "it-a" else "bridge")
    missing = busy.run("network", "connect", "--link", "nobody:x", "linked", "it-a").exited(1).stderr
    busy.run("network", "connect", "--link", "it-b:store", "linked", "it-a").ok()
    seen = inside(busy, "it-a", "nslookup store")
    others = inside(busy, "it-c", "nslookup store 2>&1; true")
    refused = [busy.run("network", "connect", name, "it-c").exited(1).stderr for name in ("host", "none")]
    address = inside(busy, "it-b", "ip -o -4 addr show eth0").split()[3].partition("/")[0]
    busy.run("container", "rm", "-f", "it-a", "it-b", "it-c").ok()
    busy.run("network", "rm", "linked").ok()

    assert "nobody" in missing
    assert address in seen
    assert address not in others
    assert all("no container can be connected to it" in text for text in refused)


def test_a_service_on_the_wire(hosts: Hosts, busybox_tar: Path) -> None:
    """A neighbour reaches it by its own address, and its fellows by name; no port is published."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    pool = f"{{subnet: 192.0.2.0/24, ip_range: 192.0.2.128/25, gateway: {NEIGHBOUR_ADDRESS}}}"
    folder = host.project(
        {
            "compose.yaml": f"""
services:
  web:
    image: busybox
    command: [sh, -c, "while true; do echo hello | nc -l -p 80; done"]
    init: true
    stop_signal: SIGKILL
    ports: ["8080:80"]
    networks: {{lan: {{ipv4_address: 192.0.2.200}}}}
  other: {{image: busybox, {SLEEPS}, networks: [lan]}}
networks:
  lan: {{driver: macvlan, driver_opts: {{parent: eth0}}, ipam: {{config: [{pool}]}}}}
"""
        }
    )
    told = host.run("up", "-d", cwd=folder).ok().stderr

    def asked() -> bool:
        with socket.create_connection(("192.0.2.200", 80), timeout=5) as sock:
            return sock.recv(9) == b"hello\n"

    eventually(lambda: host.outside(asked))
    seen = inside(host, "demo-other-1", "nc web 80; ip route show default")
    ports = host.run("ps", "--format", "{{.Ports}}", cwd=folder).ok().stdout
    shown = inspected(host, "demo_lan")
    host.run("down", cwd=folder).ok()

    assert "ports: has no effect: on a macvlan or ipvlan network" in told
    assert seen.startswith("hello\n")
    assert f"default via {NEIGHBOUR_ADDRESS} dev eth0" in seen
    assert ports.strip() == ""
    assert (shown["Driver"], shown["Options"]) == ("macvlan", {"parent": "eth0"})
    assert len(shown["Containers"]) == 2


def test_what_prune_is_told_to_spare(busy: Host) -> None:
    """By labels, and by age."""
    for name in ("old", "kept"):
        busy.run("network", "create", name, "--label", f"is={name}").ok()
    prune = ("network", "prune", "-f", "--filter")
    assert busy.run(*prune, "until=1h").ok().stdout == ""
    assert listed(busy, "type=custom") == ["kept", "old"]
    busy.run(*prune, "label!=is=kept").ok()
    assert listed(busy, "type=custom") == ["kept"]
    busy.run(*prune, "until=0s").ok()
    assert listed(busy) == ALWAYS_THERE
    for text in ("until=soon", "driver=bridge", "label"):
        busy.run(*prune, text).exited(1)
    busy.run("volume", "create", "spared", "--label", "is=kept").ok()
    busy.run("volume", "prune", "-af", "--filter", "label!=is").ok()
    assert busy.run("volume", "ls", "-q").ok().stdout == "spared\n"
    busy.run("volume", "rm", "spared").ok()


def subnets(host: Host) -> Iterator[tuple[str, str]]:
    """Yield each network that somebody has made, and its subnet."""
    for name in listed(host, "type=custom"):
        yield name, inspected(host, name)["IPAM"]["Config"][0]["Subnet"]


def test_a_network_has_the_subnet_that_it_had(busy: Host) -> None:
    """After `down`, although others came meanwhile; after a power cut; not where somebody else is by then."""
    text = f"services: {{a: {{image: busybox, {SLEEPS}}}}}"
    one, two, three = (busy.project({"compose.yaml": text}, name) for name in ("one", "two", "three"))
    for folder in (one, two):
        busy.run("up", "-d", cwd=folder).ok()
    first = dict(subnets(busy))
    busy.run("down", cwd=one).ok()
    busy.run("up", "-d", cwd=three).ok()
    busy.run("up", "-d", cwd=one).ok()
    second = dict(subnets(busy))
    address = inside(busy, "one-a-1", "ip -o -4 addr show eth0")
    for folder in (one, two, three):
        busy.run("down", cwd=folder).ok()
    eventually(lambda: not busy.processes("pycompose.supervisor"))
    busy.watch.power_off()
    for folder in (three, two, one):
        busy.run("up", "-d", cwd=folder).ok()
    third = dict(subnets(busy))
    busy.run("down", cwd=one).ok()
    busy.run("network", "create", "squatter", "--subnet", first["one_default"]).ok()
    busy.run("up", "-d", cwd=one).ok()
    fourth = dict(subnets(busy))
    for folder in (one, two, three):
        busy.run("down", cwd=folder).ok()
    busy.run("network", "rm", "squatter").ok()

    assert second == first | {"three_default": second["three_default"]}
    assert second["three_default"] not in first.values()
    assert first["one_default"].removesuffix("0.0/16") in address
    assert third == second
    assert fourth["one_default"] not in (*third.values(),)


def test_a_start_that_fails_again_leaves_no_place_on_a_network(busy: Host) -> None:
    """Its interface can't be set up; `down` takes the network with it all the same."""
    option, nothing = "com.docker.network.endpoint.sysctls", "net.ipv4.conf.IFNAME.nothing"
    project = busy.project(
        {
            "compose.yaml": f"""
services:
  web: {{image: busybox, {SLEEPS}, networks: {{net: {{driver_opts: {{{option}: "{nothing}=1"}}}}}}}}
networks: {{net: {{}}}}
"""
        }
    )
    for _attempt in range(2):
        assert f"sysctl {nothing}=1: No such file" in busy.run("up", "-d", cwd=project).exited(1).stderr
    said = busy.run("down", cwd=project).ok().stderr

    assert "still in use" not in said
    assert listed(busy) == ALWAYS_THERE


def test_host_gateway_on_an_internal_network_is_this_machines_address_there(busy: Host) -> None:
    """There is no way out, but this machine is on the network, too."""
    project = busy.project(
        {
            "compose.yaml": f"""
services:
  web: {{image: busybox, {SLEEPS}, networks: [net], extra_hosts: ["machine:host-gateway"]}}
networks: {{net: {{internal: true, ipam: {{config: [{{subnet: 10.91.9.0/24}}]}}}}}}
"""
        }
    )
    busy.run("up", "-d", cwd=project).ok()
    hosts = busy.run("exec", "-T", "web", "cat", "/etc/hosts", cwd=project).ok().stdout
    answer = busy.run("exec", "-T", "web", "ping", "-c1", "-w5", "machine", cwd=project).ok().stdout
    busy.run("down", cwd=project).ok()

    assert "10.91.9.1\tmachine\n" in hosts
    assert " 0% packet loss" in answer


def test_the_word_for_the_default_bridge_is_no_name(busy: Host) -> None:
    """`network_mode: default` means another one."""
    said = busy.run("network", "create", "default").exited(1).stderr
    assert "operation is not permitted on predefined networks" in said


def test_inspect_shows_what_is_there(busy: Host) -> None:
    """The others are named behind it; nothing found is an empty list."""
    busy.run("volume", "create", "is-there").ok()
    networks = busy.run("network", "inspect", "nosuch", "bridge", "nix", "-f", "{{.Name}}").exited(1)
    volumes = busy.run("volume", "inspect", "is-there", "nosuch", "-f", "{{.Name}}").exited(1)
    none = busy.run("network", "inspect", "nosuch").exited(1)
    busy.run("volume", "rm", "is-there").ok()

    assert networks.stdout == "bridge\n"
    assert "network nosuch: not found" in networks.stderr
    assert "network nix: not found" in networks.stderr
    assert (volumes.stdout, "volume nosuch: no such volume" in volumes.stderr) == ("is-there\n", True)
    assert none.json() == []


def test_a_host_port_that_one_container_publishes_twice(busy: Host) -> None:
    """No other container is to blame, be it written in a file or said by flags."""
    project = busy.project(
        {"compose.yaml": f"services: {{web: {{image: busybox, {SLEEPS}, ports: ['8080:80', '8080:81']}}}}"}
    )
    said = busy.run("up", "-d", cwd=project).exited(1).stderr
    ports = ("-p", "8080:80", "-p", "8080:81")
    flags = busy.run("container", "run", "--rm", *ports, "busybox", "true").stderr

    assert "services.web.ports[1]: host port 8080/tcp is published twice, for 80 and 81" in said
    assert "8080/tcp" in flags
    assert "twice" in flags


def test_a_volume_of_one_letter(busy: Host) -> None:
    """`-v x:/data` can't name it."""
    assert "the name is too short" in busy.run("volume", "create", "x").exited(1).stderr


def test_ports_on_networks_that_others_have_made(busy: Host) -> None:
    """An internal one leads nowhere, which only the machine knows; what was opened for 127.0.0.1 is closed again."""
    busy.run("network", "create", "--internal", "shut").ok()
    busy.run("network", "create", "wide").ok()
    folder = busy.project(
        {
            "compose.yaml": f"""
services:
  a: {{image: busybox, {SLEEPS}, ports: ["8080:80"], networks: [shut]}}
  b: {{image: busybox, {SLEEPS}, ports: ["8081:80"], networks: [shut, wide]}}
networks: {{shut: {{external: true}}, wide: {{external: true}}}}
"""
        }
    )
    settings = "cat /proc/sys/net/ipv4/conf/pc-*/route_localnet"
    warned = [busy.run("up", "-d", cwd=folder).ok().stderr for _ in range(2)]
    opened = busy.command(["sh", "-c", settings]).ok().stdout.split()
    busy.run("down", cwd=folder).ok()
    closed = busy.command(["sh", "-c", settings]).ok().stdout.split()
    busy.run("network", "rm", "shut", "wide").ok()

    for text in warned:
        assert "service a: ports: has no effect: its networks have no way in from outside" in text
        assert "service b" not in text
    assert (sorted(opened), closed) == (["0", "1"], ["0", "0"])


def test_rm_of_what_is_not_there(busy: Host) -> None:
    """With -f no error, and as docker no name, either."""
    busy.run("network", "create", "there").ok()
    assert busy.run("network", "rm", "-f", "nosuch", "there").ok().stdout == "there\n"
    assert "not found" in busy.run("network", "rm", "nosuch").exited(1).stderr


LEASE = """\
import fcntl, os, signal
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open("/etc/hosts", os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
print("held", flush=True)
signal.pause()
"""


def test_a_connection_that_fails_leaves_nothing(host: Host) -> None:
    """The container is not on the network afterwards, and can be put on it once the reason is gone."""
    run = ("container", "run", "-d", "--name", "holds", "--stop-signal", "KILL", "host")
    host.run(*run, "python3", "-c", LEASE).ok()
    eventually(lambda: "held" in host.run("container", "logs", "holds").ok().stdout)
    host.run("network", "create", "extra").ok()

    failed = host.run("network", "connect", "extra", "holds")
    assert failed.code == 1
    assert "holds a lease on it" in failed.stderr
    assert inspected(host, "extra")["Containers"] == {}
    assert "extra" not in host.run("container", "inspect", "holds").ok().stdout
    assert "eth1" not in host.run("container", "exec", "holds", "cat", "/proc/net/dev").ok().stdout
    host.run("network", "rm", "extra").ok()
    host.run("container", "rm", "-f", "holds").ok()
