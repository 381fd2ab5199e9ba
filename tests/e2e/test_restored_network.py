"""What others delete of the network while containers run, and that it comes back: rules, bridges, routes, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import Host, Hosts, eventually

pytestmark = requires("nft", "ip")

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo "I am web" >/srv/index.html; exec httpd -f -p 80 -h /srv']
    stop_signal: SIGKILL
    networks: [one]
    ports: ["8080:80"]
  other:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    networks: [two]
  peer:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    networks: [one]
networks:
  one: {ipam: {config: [{subnet: 10.81.1.0/24}]}}
  two: {ipam: {config: [{subnet: 10.81.2.0/24}]}}
"""


@pytest.fixture
def running(hosts: Hosts, busybox_tar: Path) -> Iterator[tuple[Host, Path]]:
    """Bring the project up on a machine that wasn't a router before; nothing is left after `down`."""
    host = hosts()
    host.run("image", "import", busybox_tar, "busybox").ok()
    project = host.project({"compose.yaml": COMPOSE})
    host.run("up", "-d", cwd=project).ok()
    eventually(lambda: host.inside(lambda: fetch("http://127.0.0.1:8080/")) == "I am web\n")
    yield host, project
    host.run("down", cwd=project).ok()
    assert host.watch.wait() == []


def rules(host: Host) -> list[str]:
    """Return the words of the machine's rule set, sorted (maps have no order), without what the counters show."""
    text = host.command(["nft", "list", "ruleset"]).ok().stdout
    return sorted(re.sub(r"packets \d+ bytes \d+|,", "", text).split())


def log(host: Host) -> str:
    """Return the supervisor's log."""
    return host.logs()


def works(host: Host, project: Path) -> bool:
    """Tell whether the port is published, the neighbour reached, and the other network is not."""
    assert host.inside(lambda: fetch("http://127.0.0.1:8080/", timeout_s=1)) == "I am web\n"
    addresses = (
        host.run("exec", "-T", "web", "ip", "-o", "-4", "address", "show", "eth0", cwd=project).ok().stdout
    )
    target = addresses.split("inet ")[1].partition("/")[0]
    get = ("sh", "-c", f"echo GET / | nc -w 1 {target} 80")
    assert host.run("exec", "-T", "peer", *get, cwd=project).stdout.startswith("HTTP/")
    assert host.run("exec", "-T", "other", *get, cwd=project).stdout == ""
    return True


def test_a_flushed_rule_set(running: tuple[Host, Path]) -> None:
    """`nft flush ruleset`, as each restart of nftables.service does it: all is as before, and the log says so."""
    host, project = running
    before = rules(host)
    assert "pyc_demo" in before
    assert "pyc_host" in before
    host.command(["nft", "flush", "ruleset"]).ok()
    eventually(lambda: rules(host) == before)
    assert works(host, project)
    assert "restored what somebody else has removed: the project's rules" in log(host)


@pytest.mark.parametrize(
    "command",
    (
        "delete table inet pyc_demo",
        "delete table inet pyc_host",
        "flush chain inet pyc_demo forward",
        "flush map inet pyc_demo ports4",
    ),
)
def test_a_part_of_the_rules(running: tuple[Host, Path], command: str) -> None:
    """One table, one chain, the content of one map."""
    host, project = running
    before = rules(host)
    host.command(["nft", *command.split()]).ok()
    assert rules(host) != before or "restored" in log(host)
    eventually(lambda: rules(host) == before)
    assert works(host, project)


def test_routing_that_is_switched_off(running: tuple[Host, Path]) -> None:
    """`sysctl --system` with another file of settings: containers are routed again, and nobody else."""
    host, project = running
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    host.inside(lambda: switch.write_text("0\n"))
    eventually(lambda: host.inside(switch.read_text) == "1\n")
    eventually(lambda: "the routing of the machine (ip_forward)" in log(host))
    assert "pyc_host" in host.command(["nft", "list", "tables"]).ok().stdout
    assert works(host, project)


def test_links_addresses_and_routes(running: tuple[Host, Path]) -> None:
    """A deleted bridge, interface, address or route is made again, and the containers keep their addresses."""
    host, project = running
    bridge = host.command(["ip", "-o", "address", "show", "to", "10.81.1.1"]).ok().stdout.split()[1]
    veth = (
        host.command(["ip", "-o", "link", "show", "master", bridge]).ok().stdout.split()[1].partition("@")[0]
    )
    for words in (
        ["route", "del", "10.81.1.0/24"],
        ["address", "del", "10.81.1.1/24", "dev", bridge],
        ["link", "set", veth, "down"],
        ["link", "set", bridge, "down"],
        ["link", "del", veth],
        ["link", "del", bridge],
    ):
        host.command(["ip", *words]).ok()
        eventually(lambda: works(host, project))
    assert f"network demo_one: bridge {bridge} that was down" in log(host)
    assert f"network demo_one: bridge {bridge}; " in log(host)


def test_nobody_is_fought(running: tuple[Host, Path]) -> None:
    """Who deletes the table again and again waits longer each time, and a restart of the project isn't held up."""
    host, project = running
    for _ in range(4):
        eventually(lambda: "pyc_demo" in rules(host))
        host.command(["nft", "delete", "table", "inet", "pyc_demo"]).ok()
    eventually(lambda: "pyc_demo" in rules(host))
    assert 1 <= log(host).count("restored what") <= 5
    host.run("restart", "-t", "0", cwd=project).ok()
    eventually(lambda: works(host, project))


def test_loopback_that_leads_to_containers_no_more(running: tuple[Host, Path]) -> None:
    """`sysctl --system` on a hardened machine; the kernel tells nobody, so that the next `up` looks."""
    host, project = running
    links = host.command(["ip", "-o", "link", "show", "type", "bridge"]).ok().stdout
    bridges = re.findall(r"(pc-[0-9a-f]+)", links)
    assert bridges
    for bridge in bridges:
        host.command(["sh", "-c", f"echo 0 >/proc/sys/net/ipv4/conf/{bridge}/route_localnet"]).ok()
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        host.inside(lambda: fetch("http://127.0.0.1:8080/", timeout_s=1))

    host.run("up", "-d", cwd=project).ok()

    assert host.inside(lambda: fetch("http://127.0.0.1:8080/")) == "I am web\n"
