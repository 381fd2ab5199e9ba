"""Published ports, from everywhere they may and may not be reached."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, Host, Hosts, eventually

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
