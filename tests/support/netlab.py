"""Containers without processes, and a host outside: what the network tests need to talk and to forge frames.

Sockets are made on a thread inside the namespace and used from the test; a namespace needs no process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pycompose.networking import netns
from pycompose.networking.api import Networking
from pycompose.networking.model import EndpointSpec, EndpointState, NetworkState, OpenPort, PublishedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycompose.engine.paths import StatePaths

T = TypeVar("T")
ANSWERS_S = 10.0
SILENCE_S = 0.5
OUTSIDE, UPLINK = "192.0.2.2", "192.0.2.1"
OUTSIDE6, UPLINK6 = "2001:db8::2", "2001:db8::1"
_numbers = itertools.count(1)


@dataclass(slots=True)
class Container:
    """A connected namespace that behaves like a container."""

    lab: Lab
    id: str
    pin: Path
    endpoints: list[EndpointState] = field(default_factory=list)

    @property
    def ip(self) -> str:
        """The address on the first network."""
        return self.endpoints[0].attachment.ip

    @property
    def ip6(self) -> str:
        """The IPv6 address on the first network."""
        return self.endpoints[0].attachment.ip6

    def run(self, action: Callable[[], T]) -> T:
        """Run `action` inside."""
        return netns.enter(self.pin, action)

    def serve(self, port: int = 80, *, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> None:
        """Answer on a port, with who is asking, until the end of the test."""
        self.lab.serve(self.run, port, kind=kind, family=family)

    def ask(
        self, address: str, port: int, *, kind: int = socket.SOCK_STREAM, wait_s: float = ANSWERS_S
    ) -> str:
        """Ask from inside, as `ask` does."""
        return self.run(lambda: ask(address, port, kind=kind, wait_s=wait_s))


@dataclass(slots=True)
class Lab:
    """The machine, its networks, and a host outside on the wire `uplink`."""

    networking: Networking
    paths: StatePaths
    project: str = "lab"
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    containers: list[Container] = field(default_factory=list)
    outside: Path | None = None

    def connect(self, *networks: str, service: str = "s") -> Container:
        """Connect a new container to networks."""
        number = next(_numbers)
        key = f"{self.project}/{service}/{number}"
        container = Container(self, f"{number:064x}", self.paths.netns(f"{number:064x}"))
        specs = [EndpointSpec(network=name, lease_key=key) for name in networks]
        container.endpoints = self.networking.connect(container.id, specs, hostname=service)
        self.containers.append(container)
        return container

    def firewall(self, *published: PublishedPort, opened: Sequence[OpenPort] = ()) -> tuple[str, ...]:
        """Apply the rules for all networks of the project; return what is said about other firewalls."""
        states = self.networking.list_networks(self.project)
        self.networking.apply_firewall(self.project, states, published, opened)
        return self.networking.other_firewalls()

    def state(self, name: str) -> NetworkState:
        """Return a network that exists."""
        state = self.networking.inspect(name)
        assert state is not None
        return state

    def run(self, action: Callable[[], T]) -> T:
        """Run `action` on the machine itself."""
        return action()

    def ask(self, address: str, port: int, *, kind: int = socket.SOCK_STREAM) -> str:
        """Ask from the machine itself."""
        return ask(address, port, kind=kind)

    def make_outside(self) -> Path:
        """Make the host outside: a namespace on a wire, without any route back to container addresses."""
        pin = self.paths.run / "outside"
        netns.create(pin, lambda: None)
        self.outside = pin
        self.stack.callback(netns.remove, pin)
        ip("link", "add", "uplink", "type", "veth", "peer", "name", "wire", "netns", str(pin))
        self.stack.callback(ip, "link", "delete", "uplink")
        ip("address", "add", f"{UPLINK}/24", "dev", "uplink")
        ip("address", "add", f"{UPLINK6}/64", "dev", "uplink", "nodad")
        ip("link", "set", "uplink", "up")
        netns.enter(pin, _furnish_outside)
        return pin

    def from_outside(self, action: Callable[[], T]) -> T:
        """Run `action` on the host outside."""
        assert self.outside is not None
        return netns.enter(self.outside, action)

    def serve(
        self,
        run: Callable[[Callable[[], socket.socket]], socket.socket],
        port: int,
        *,
        kind: int = socket.SOCK_STREAM,
        family: int = socket.AF_INET,
        address: str = "",
    ) -> None:
        """Answer on a port of the namespace that `run` enters, until the end of the test."""
        server = run(lambda: _listen(port, kind, family, address))
        thread = threading.Thread(target=_answer, args=(server,), daemon=True)
        thread.start()

        def stop() -> None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            if kind == socket.SOCK_DGRAM:
                server.close()
            thread.join(ANSWERS_S)
            server.close()

        self.stack.callback(stop)

    def close(self) -> None:
        """Take everything down again; part of what is tested."""
        self.stack.close()
        self.networking.cleanup(self.project, [container.id for container in self.containers])
        self.networking.close()


def run(*words: str) -> str:
    """Run a program of the machine and return what it says."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    done = subprocess.run(
        [shutil.which(words[0], path=path) or words[0], *words[1:]],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def ip(*words: str) -> str:
    """Run iproute2's program and return what it says."""
    return run("ip", *words)


def nft(*words: str) -> str:
    """Run the program of nftables and return what it says."""
    return run("nft", *words)


def ask(
    address: str,
    port: int,
    *,
    kind: int = socket.SOCK_STREAM,
    wait_s: float = ANSWERS_S,
    source: str = "",
) -> str:
    """Return what a server says: the address that it sees. Or "refused", or "silence" after `wait_s`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.settimeout(wait_s)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                sock.send(b"who am I")
            return sock.recv(100).decode()
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silence"


def forged_syn(source: str, destination: str, port: int, *, sender: bytes, receiver: bytes) -> bytes:
    """Return an Ethernet frame with a TCP SYN that no honest routing would have sent here."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    tcp = struct.pack(">HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    tcp = tcp[:16] + checksum(addresses + struct.pack(">BBH", 0, 6, len(tcp)) + tcp) + tcp[18:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + addresses
    head = head[:10] + checksum(head) + head[12:]
    return receiver + sender + b"\x08\x00" + head + tcp


def answered(interface: str, frame: bytes, from_port: int, *, wait_s: float = SILENCE_S) -> bool:
    """Send a frame and tell whether a TCP packet comes back from `from_port`."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as sock:
        sock.bind((interface, 0x0800))
        sock.settimeout(wait_s)
        sock.send(frame)
        with contextlib.suppress(TimeoutError):
            while True:
                data, (_name, _proto, packet_type, *_rest) = sock.recvfrom(2048)
                incoming = packet_type != socket.PACKET_OUTGOING
                if incoming and data[23] == 6 and struct.unpack_from(">H", data, 34)[0] == from_port:
                    return True
    return False


def mac_of(interface: str) -> bytes:
    """Return a link's address."""
    text = ip("link", "show", interface)
    match = re.search(r"link/ether (\S+)", text)
    assert match is not None
    return bytes.fromhex(match[1].replace(":", ""))


def addresses(pin: Path) -> dict[str, set[str]]:
    """Return the addresses of each link in a namespace, with their prefix lengths."""
    found = json.loads(netns.enter(pin, lambda: ip("-json", "address")))
    return {
        link["ifname"]: {f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]} for link in found
    }


def write_sysctl(key: str, value: str) -> None:
    """Set a value below /proc/sys/net."""
    netns.write_sysctls({key: value})


def checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return struct.pack(">H", ~total & 0xFFFF)


def _furnish_outside() -> None:
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{OUTSIDE}/24", "dev", "wire")
    ip("address", "add", f"{OUTSIDE6}/64", "dev", "wire", "nodad")
    ip("link", "set", "wire", "up")


def _listen(port: int, kind: int, family: int, address: str) -> socket.socket:
    server = socket.socket(family, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def _answer(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            if server.type == socket.SOCK_DGRAM:
                _data, sender = server.recvfrom(2048)
                if not _data:
                    return
                server.sendto(sender[0].encode(), sender)
            else:
                connection, sender = server.accept()
                with connection:
                    connection.sendall(sender[0].encode())


@contextlib.contextmanager
def lab(paths: StatePaths) -> Iterator[Lab]:
    """Give a lab on the private machine and take it down afterwards."""
    made = Lab(Networking(paths), paths)
    try:
        yield made
    finally:
        made.close()
