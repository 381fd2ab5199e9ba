"""Published ports by [::1], where no rule of the kernel leads to a container: the relay, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

from tests.support.requires import requires
from tests.support.scenario import HOST_ADDRESS, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.scenario import Host, Hosts

pytestmark = requires("ip", "host-python")
PROGRAM = "pycompose-relay"
# Says who has called, then what was said, backwards, when the client has said everything.
SERVER = """
services:
  web:
    image: host
    init: true
    stop_signal: SIGKILL
    networks: {n: {ipv4_address: 10.84.1.5}}
    ports: ["8080:80", "[::1]:8081:80"]
    command:
      - python3
      - -c
      - |
        import socket, threading
        def answer(sock, peer):
            with sock:
                sock.sendall(peer[0].encode() + b" ")
                said = b"".join(iter(lambda: sock.recv(1 << 16), b""))
                sock.sendall(said[::-1])
        server = socket.create_server(("", 80), backlog=200)
        while True:
            threading.Thread(target=answer, args=server.accept()).start()
networks:
  n: {ipam: {config: [{subnet: 10.84.1.0/24, gateway: 10.84.1.1}]}}
"""
AGAIN = SERVER.replace("init: true", "init: true\n    labels: {version: second}")


def said(address: str, port: int = 8080, text: bytes = b"hello") -> bytes:
    """Return what the service answers to a client that says something and then no more."""
    with socket.create_connection((address, port), timeout=20) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def up(host: Host) -> Path:
    """Bring the project up and wait until it answers, by a way that has no relay."""
    folder = host.project({"compose.yaml": SERVER})
    host.run("up", "-d", cwd=folder).ok()
    eventually(lambda: host.inside(lambda: said("127.0.0.1")) == b"10.84.1.1 olleh")
    return folder


def test_it_starts_with_the_first_connection_and_ends_with_the_project(hosts: Hosts) -> None:
    """The container sees the gateway by each way in; whoever is killed, the next connection is served."""
    host = hosts(neighbour=True)
    folder = up(host)
    assert host.processes(PROGRAM) == []  # the kernel's way needs none

    for port in (8080, 8081):
        assert host.inside(lambda port=port: said("::1", port)) == b"10.84.1.1 olleh"
    relay = host.process(PROGRAM)
    assert host.outside(lambda: said(HOST_ADDRESS)) != b"10.84.1.1 olleh"  # the neighbour's own address
    os.kill(relay, signal.SIGKILL)
    assert eventually(lambda: host.inside(lambda: said("::1"))) == b"10.84.1.1 olleh"
    supervisor = host.process("pycompose.supervisor")
    os.kill(supervisor, signal.SIGKILL)
    host.process("pycompose.supervisor", supervisor)
    assert eventually(lambda: host.inside(lambda: said("::1"))) == b"10.84.1.1 olleh"
    assert len(eventually(lambda: host.processes(PROGRAM))) == 1

    host.run("down", cwd=folder).ok()
    assert host.watch.wait() == []


def test_many_connections_and_much_at_once(busy: Host) -> None:
    """Half-closed ones, all open at a time, none loses a byte."""
    folder = up(busy)
    payload = os.urandom(1 << 16)

    def all_at_once() -> None:
        clients = [socket.create_connection(("::1", 8080), timeout=40) for _ in range(150)]
        for number, client in enumerate(clients):
            client.sendall(payload + str(number).encode())
            client.shutdown(socket.SHUT_WR)
        for number, client in enumerate(clients):
            with client:
                answer = b"".join(iter(lambda client=client: client.recv(1 << 16), b""))  # type: ignore[misc]
                assert answer == b"10.84.1.1 " + (payload + str(number).encode())[::-1]

    busy.inside(all_at_once)
    busy.run("down", cwd=folder).ok()


def test_a_container_that_goes_takes_its_connections_along(busy: Host) -> None:
    """Killed: the client sees the end. Replaced: new ones get to the successor. Down: the port is free."""
    folder = up(busy)

    def connected() -> socket.socket:
        client = socket.create_connection(("::1", 8080), timeout=40)
        assert client.recv(10) == b"10.84.1.1 "
        return client

    client = busy.inside(connected)
    busy.run("kill", "web", cwd=folder).ok()
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    (folder / "compose.yaml").write_text(AGAIN, encoding="utf-8")
    busy.run("up", "-d", cwd=folder).ok()
    assert eventually(lambda: busy.inside(lambda: said("::1"))) == b"10.84.1.1 olleh"
    client = busy.inside(connected)
    busy.run("down", cwd=folder).ok()
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
    for address in ("::1", "127.0.0.1"):
        assert busy.inside(lambda address=address: refused(address))


def refused(address: str) -> bool:
    """Tell whether nobody listens."""
    try:
        with socket.create_connection((address, 8080), timeout=20):
            return False
    except ConnectionRefusedError:
        return True


def test_a_container_reaches_itself_by_way_of_the_machine(busy: Host) -> None:
    """Its own [::1] is not the machine's; by the machine's address on the network it gets to itself."""
    folder = up(busy)
    client = "import socket; s = socket.create_connection(('%s', 8080), 20); print(s.recv(20).decode())"
    own = busy.run("exec", "-T", "web", "python3", "-c", client % "::1", cwd=folder)
    by_gateway = busy.run("exec", "-T", "web", "python3", "-c", client % "10.84.1.1", cwd=folder)
    busy.run("down", cwd=folder).ok()

    assert own.code != 0
    assert by_gateway.ok().stdout == "10.84.1.1 \n"
