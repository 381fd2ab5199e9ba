"""Published ports, from everywhere they may and may not be reached."""

from __future__ import annotations

import os
import re
import signal
import socket
from functools import partial
from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, NEIGHBOUR_ADDRESS, Host, Hosts, eventually

pytestmark = requires("ip")

WEB = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo "I am $$HOSTNAME" >/srv/index.html; exec httpd -f -p 80 -h /srv']
    hostname: web
    stop_signal: SIGKILL
    ports: ["8080:80", "127.0.0.1:8081:80"]
  client:
    image: busybox
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    extra_hosts: ["host.docker.internal:host-gateway"]
"""
TAKEN = "services: {late: {image: busybox, command: [sleep, '1000'], ports: ['127.0.0.1:8081:80']}}"
ECHO = """
services:
  echo:
    image: host
    command:
      - python3
      - -c
      - |
        import socket
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("", 5353))
        while True:
            data, peer = server.recvfrom(1000)
            server.sendto(data.upper(), peer)
    stop_signal: SIGKILL
    ports: ["5353:5353/udp"]
"""


def test_a_port_is_reached_from_all_sides(hosts: Hosts, busybox_tar: Path) -> None:
    """From loopback, by the machine's address, from another machine, from a container of the project."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    project = host.project({"compose.yaml": WEB})
    host.run("up", "-d", cwd=project).ok()

    answer = eventually(lambda: host.inside(lambda: fetch("http://127.0.0.1:8080/")))
    assert answer == "I am web\n"
    assert host.inside(lambda: fetch("http://localhost:8080/")) == answer
    assert host.inside(lambda: fetch(f"http://{HOST_ADDRESS}:8080/")) == answer
    assert host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:8080/")) == answer
    for address in ("web", "host.docker.internal:8080", f"{HOST_ADDRESS}:8080"):
        inside = host.run("exec", "-T", "client", "wget", "-q", "-O-", f"http://{address}/", cwd=project)
        assert inside.ok().stdout == answer

    host.run("down", cwd=project).ok()


def test_a_port_on_loopback_stays_there(hosts: Hosts, busybox_tar: Path) -> None:
    """`127.0.0.1:8081:80` is nobody else's."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    project = host.project({"compose.yaml": WEB})
    host.run("up", "-d", cwd=project).ok()

    assert eventually(lambda: host.inside(lambda: fetch("http://127.0.0.1:8081/"))) == "I am web\n"
    with pytest.raises(OSError, match=r"refused|timed out"):
        host.outside(lambda: fetch(f"http://{HOST_ADDRESS}:8081/", timeout_s=1))

    host.run("down", cwd=project).ok()


@requires("host-python")
def test_udp_comes_and_goes(hosts: Hosts) -> None:
    """The answer comes from the address that was asked."""
    host = hosts(neighbour=True)
    project = host.project({"compose.yaml": ECHO})
    host.run("up", "-d", cwd=project).ok()

    for run, address in (
        (host.inside, "127.0.0.1"),
        (host.inside, HOST_ADDRESS),
        (host.outside, HOST_ADDRESS),
    ):
        answer = eventually(partial(run, partial(ask, address, 5353)))
        assert answer == b"HELLO"

    host.run("down", cwd=project).ok()


def test_a_port_that_is_taken_is_named(host: Host, busybox_tar: Path) -> None:
    """The error has the address and the service; nothing is left of the attempt after `down`."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    project = host.project({"compose.yaml": WEB})
    with host.inside(lambda: socket.create_server(("0.0.0.0", 8080))):
        result = host.run("up", "-d", cwd=project).exited(1)
    assert "8080" in result.stderr
    assert "web" in result.stderr
    assert "hint: " in result.stderr

    host.run("down", cwd=project).ok()


def test_the_second_project_with_the_port_fails_and_the_first_goes_on(host: Host, busybox_tar: Path) -> None:
    """Two projects can't have the same port, whoever is first keeps it."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    first = host.project({"compose.yaml": WEB}, "first")
    second = host.project({"compose.yaml": WEB}, "second")
    host.run("up", "-d", cwd=first).ok()

    assert "8080" in host.run("up", "-d", cwd=second).exited(1).stderr
    assert eventually(lambda: host.inside(lambda: fetch("http://127.0.0.1:8080/"))) == "I am web\n"

    host.run("down", cwd=second).ok()
    host.run("down", cwd=first).ok()


def ask(address: str, port: int) -> bytes:
    """Send a datagram and return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect((address, port))
        client.send(b"hello")
        return client.recv(100)


def test_a_taken_port_names_who_has_it(host: Host, busybox_tar: Path) -> None:
    """The project and the container, not the process that holds the socket for them; and how to end it."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    first = host.project({"compose.yaml": WEB}, "first")
    host.run("up", "-d", cwd=first).ok()
    late = host.project({"compose.yaml": TAKEN}, "late")

    said = host.run("up", "-d", cwd=late).exited(1).stderr
    assert "publish on 127.0.0.1: already in use by container first-web-1 of project first" in said
    assert "pycompose -p first stop web" in said

    host.run("down", cwd=late).ok()
    host.run("down", cwd=first).ok()


TWINS = """
services:
  one: {image: busybox, command: sleep 1000, ports: ["127.0.0.1:18371:80"]}
  two: {image: busybox, command: sleep 1000, ports: ["18371:81"]}
"""


def test_two_services_with_one_port_are_named(host: Host, busybox_tar: Path) -> None:
    """As with Docker one of them starts, whichever is first: the other's error says who that is, and where to look."""
    host.run("image", "import", busybox_tar, "busybox").ok()
    twins = host.project({"compose.yaml": TWINS}, "twins")

    said = host.run("up", "-d", cwd=twins).exited(1).stderr
    found = re.search(r"twins-(one|two)-1: port 18371/tcp: .* in use by container twins-(one|two)-1 of", said)
    assert found, said
    assert {found[1], found[2]} == {"one", "two"}
    assert f"services.{found[1]}.ports" in said

    host.run("down", cwd=twins).ok()


MANY = """
services:
  web:
    image: busybox
    command: [sh, -c, 'echo many >/srv/index.html; httpd -p 8000 -h /srv; exec httpd -f -p 8999 -h /srv']
    stop_signal: SIGKILL
    ports: ["20000-20999:8000-8999"]
"""


def test_a_thousand_ports_on_one_container(hosts: Hosts, busybox_tar: Path) -> None:
    """As media servers and FTP want them; the next supervisor has them all, too."""
    host = hosts()
    host.run("image", "import", busybox_tar, "busybox").ok()
    project = host.project({"compose.yaml": MANY})
    host.run("up", "-d", cwd=project).ok()

    def answers() -> None:
        for port in (20000, 20999):
            for address in ("127.0.0.1", "[::1]"):
                url = f"http://{address}:{port}/"
                assert eventually(lambda url=url: host.inside(lambda: fetch(url))) == "many\n"

    answers()
    supervisor = host.process("pycompose.supervisor")
    os.kill(supervisor, signal.SIGKILL)
    host.process("pycompose.supervisor", supervisor)
    host.run("up", "-d", cwd=project).ok()
    answers()
    taken = host.run("run", "--rm", "-p", "20500:80", "web", "true", cwd=project)
    assert "20500" in taken.exited(1).stderr
    host.run("down", cwd=project).ok()
    assert host.watch.wait() == []


PEER = """
services:
  peer:
    image: host
    command:
      - python3
      - -c
      - |
        import socket
        server = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
        while True:
            client, peer = server.accept()
            client.sendall(peer[0].encode())
            client.close()
    stop_signal: SIGKILL
    ports: ["8080:80"]
networks:
  default: %s
"""


def peer_seen(address: str, port: int) -> str:
    """Return the address that the server in the container saw."""
    with socket.create_connection((address, port), timeout=3) as client:
        return client.recv(100).decode()


def test_the_machines_own_address_stays_its_source(hosts: Hosts) -> None:
    """Only loopback addresses are translated: nothing else is no address that the container could answer to."""
    host = hosts(neighbour=True)
    project = host.project({"compose.yaml": PEER % "{}"})
    host.run("up", "-d", cwd=project).ok()
    seen = eventually(lambda: host.inside(lambda: peer_seen(HOST_ADDRESS, 8080)))
    assert seen == f"::ffff:{HOST_ADDRESS}"
    assert host.outside(lambda: peer_seen(HOST_ADDRESS, 8080)) == f"::ffff:{NEIGHBOUR_ADDRESS}"
    assert "127.0.0.1" not in host.inside(lambda: peer_seen("127.0.0.1", 8080))
    host.run("down", cwd=project).ok()


def test_a_network_with_ipv6_only_publishes(hosts: Hosts) -> None:
    """On the addresses of both families of the machine."""
    host = hosts()
    network = "{enable_ipv4: false, enable_ipv6: true, ipam: {config: [{subnet: 'fd00:81::/64'}]}}"
    project = host.project({"compose.yaml": PEER % network})
    host.run("up", "-d", cwd=project).ok()
    for address in ("::1", "127.0.0.1"):
        assert eventually(lambda address=address: host.inside(lambda: peer_seen(address, 8080)))
    assert "0.0.0.0:8080->80/tcp" in host.run("ps", cwd=project).ok().stdout
    host.run("down", cwd=project).ok()


def test_a_subnet_inside_a_wide_route(hosts: Hosts, busybox_tar: Path) -> None:
    """A VPN's 10.0.0.0/8 is a warning, another network with the same subnet an error."""
    host = hosts(neighbour=True)
    host.run("image", "import", busybox_tar, "busybox").ok()
    host.command(["ip", "route", "add", "10.0.0.0/8", "via", NEIGHBOUR_ADDRESS]).ok()
    text = (
        "services: {a: {image: busybox, command: [sleep, '1000'], stop_signal: SIGKILL}}\n"
        "networks: {default: {ipam: {config: [{subnet: 10.5.0.0/24}]}}}\n"
    )
    first, late = (host.project({"compose.yaml": text}, name) for name in ("first", "late"))
    said = host.run("up", "-d", cwd=first).ok().stderr
    assert "subnet 10.5.0.0/24 overlaps the route to 10.0.0.0/8" in said
    said = host.run("up", "-d", cwd=late).exited(1).stderr
    assert "subnet 10.5.0.0/24 overlaps 10.5.0.0/24, which is in use" in said
    for project in (late, first):
        host.run("down", cwd=project).ok()
    host.command(["ip", "route", "del", "10.0.0.0/8"]).ok()
