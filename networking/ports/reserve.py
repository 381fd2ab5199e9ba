"""Host ports: reserved before anything is published, so that a clash is an error and not a surprise.

The sockets are bound and listen, but the kernel's DNAT takes the connections before they arrive. What DNAT
can't do, IPv6 connections to containers without IPv6, comes through these sockets to the relay (relay.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import NetworkError, PortInUse, doctor_row
from pycompose.engine.linux import outside
from pycompose.networking.model import ANY4, ANY6, PublishedPort

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.networking.ports.relay import Relay, Relays

PROTOCOLS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
# As many as net.core.somaxconn lets it be: a client for whom there is no room tries again a second later.
BACKLOG = 1 << 16
EPHEMERAL_TRIES = 10
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
BPF_RETURN = 0x06
TCP_LISTEN = "0A"
# The name of keepers, and of what they have cloned as long as it has not executed: that has copies of all sockets.
KEEPER = "pycompose-keep"
CLONE_S = 0.3


@dataclass(slots=True, kw_only=True)
class Reservation:
    """A host port, ours as long as one copy of `sockets` is open; `host_ip` "" is every address."""

    host_ip: str
    host_port: int
    protocol: str
    sockets: tuple[socket.socket, ...]
    _relay: Relay | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The host addresses: 0.0.0.0 and, where the machine has IPv6, :: for a port without host_ip."""
        return tuple(dict.fromkeys(str(sock.getsockname()[0]) for sock in self.sockets))

    def filenos(self) -> list[int]:
        """Return the descriptors for somebody else to hold."""
        return [sock.fileno() for sock in self.sockets]

    def relay_to(self, relays: Relays, ip: str, port: int, *, ip6: str = "") -> None:
        """Relay, by means of `relays`, what the kernel can't redirect to the container's `ip` and `port`.

        `ip6` is the container's IPv6 address, if it has one; `ip` is "" when it has only that. Said again, it holds for
        what comes from then on. For threads other than the loop's. Raises OSError.
        """
        from pycompose.networking.ports.relay import Relay  # noqa: PLC0415 - brings asyncio, most ports need none

        sockets, target = self.relayed(ip6, four=bool(ip)), ip or ip6
        if self._relay is not None and sockets:
            self._relay.retarget((target, port))
        elif sockets:
            self._relay = Relay(relays)
            for sock in sockets:
                if sock.family == socket.AF_INET:
                    _let_in(sock)
                self._relay.start(sock, (target, port))

    def close(self) -> None:
        """Give the port up, closing relayed connections."""
        if self._relay is not None:
            self._relay.stop()
            self._relay = None
        for sock in self.sockets:
            sock.close()

    def relayed(self, container_ip6: str = "", *, four: bool = True) -> tuple[socket.socket, ...]:
        """Return the sockets that need the relay: those of the family that the container lacks, and for [::1].

        And those that are of another network than the container's bridge.
        """
        six = not container_ip6 or self.host_ip in {"", ANY6, "::1"}
        elsewhere = outside.is_elsewhere()
        return tuple(
            sock
            for sock in self.sockets
            if (six if sock.family == socket.AF_INET6 else not four)
            or (elsewhere and outside.is_of_machine(sock))
        )

    def published(self, container_ip: str, container_ip6: str, container_port: int) -> list[PublishedPort]:
        """Return what the firewall is to do: one entry for each family that host and container share."""
        four = bool(container_ip) and ":" not in self.host_ip
        six = bool(container_ip6) and (not self.host_ip or ":" in self.host_ip) and self.host_ip != "::1"
        return [
            PublishedPort(
                host_ip=self.host_ip,
                host_port=self.host_port,
                protocol=self.protocol,
                container_ip=target,
                container_port=container_port,
            )
            for wanted, target in ((four, container_ip), (six, container_ip6))
            if wanted
        ]


def reserve_port(host_ip: str, published: tuple[int, int] | None, protocol: str) -> Reservation:
    """Return a reservation of the first free port of the inclusive range `published`, or of any (None).

    `host_ip` "" means 0.0.0.0 and [::], with the same number; either of the two is that family alone. Raises PortInUse
    naming the port, and who has it where that can be found out; NetworkError for an address that isn't this machine's.
    """
    if protocol not in PROTOCOLS:
        raise NetworkError(f"port {_range_text(published)}/{protocol}: publish: protocol is not supported")
    if published is None:
        return _reserve_any(host_ip, protocol)
    first, last = published
    deadline = time.monotonic() + CLONE_S
    while True:
        for number in range(first, last + 1):
            sockets = _bind_all(host_ip, number, protocol)
            if sockets is not None:
                return Reservation(host_ip=host_ip, host_port=number, protocol=protocol, sockets=sockets)
        who = _owner(first, protocol) if first == last else ""
        if not who.startswith(KEEPER) or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    owner = f" by {who}" if who else ""
    raise PortInUse(
        f"port {_range_text(published)}/{protocol}: publish on {host_ip or ANY4}: already in use{owner}",
        hint="stop what uses it, publish another host port, or none: `ports: ['80']` takes any free one",
    )


def adopt_reservation(sockets: Sequence[socket.socket]) -> Reservation:
    """Return the reservation that `sockets` (of one port) are, as an earlier process has made it."""
    host_ip, number = sockets[0].getsockname()[:2]
    protocol = "tcp" if sockets[0].type == socket.SOCK_STREAM else "udp"
    addresses = {sock.getsockname()[0] for sock in sockets}
    everywhere = addresses == {ANY4, ANY6}
    return Reservation(
        host_ip="" if everywhere else host_ip, host_port=number, protocol=protocol, sockets=tuple(sockets)
    )


def adopt_reservations(sockets: Sequence[socket.socket]) -> list[Reservation]:
    """Return the reservations that `sockets` of several ports are, in the order of their first sockets."""
    groups: dict[tuple[int, int], list[socket.socket]] = {}
    for sock in sockets:
        groups.setdefault((sock.type, sock.getsockname()[1]), []).append(sock)
    return [adopt_reservation(group) for group in groups.values()]


def _reserve_any(host_ip: str, protocol: str) -> Reservation:
    for _try in range(EPHEMERAL_TRIES):
        sockets = _bind_all(host_ip, 0, protocol)
        if sockets is not None:
            number = sockets[0].getsockname()[1]
            return Reservation(host_ip=host_ip, host_port=number, protocol=protocol, sockets=sockets)
    raise PortInUse(f"port 0/{protocol}: publish on {host_ip or ANY4}: no number is free for IPv4 and IPv6")


def _bind_all(host_ip: str, number: int, protocol: str) -> tuple[socket.socket, ...] | None:
    """Return sockets for every address of `host_ip`, all with one number; None when it is taken."""
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for address in (host_ip,) if host_ip else (ANY4, ANY6):
            try:
                found = _bind(address, number or (sockets[0].getsockname()[1] if sockets else 0), protocol)
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    return None
                if address == ANY6 and not host_ip:  # no IPv6 here
                    continue
                raise _refused(address, number, protocol, exc) from exc
            for sock in found:
                stack.callback(sock.close)
            sockets += found
        stack.pop_all()
        return tuple(sockets)


def _bind(address: str, number: int, protocol: str) -> list[socket.socket]:
    if not outside.is_elsewhere():
        return [bind_here(address, number, protocol)]
    found = [outside.bind(address, number, protocol)]
    with contextlib.suppress(
        OSError
    ):  # an address that only the machine has, or something else's port in here
        found.append(bind_here(address, found[0].getsockname()[1], protocol))
    return found


def bind_here(address: str, number: int, protocol: str, *, relayed: bool = False) -> socket.socket:
    """Return a socket on a port of the network that we are in; raises OSError.

    What comes to one that is `relayed` waits until the relay is there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, PROTOCOLS[protocol] | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if number and protocol == "tcp":  # past connections in TIME_WAIT don't count
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET and not relayed:
            _drop_everything(sock)
        sock.bind((address, number))
        if protocol == "tcp":
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _drop_everything(sock: socket.socket) -> None:
    """Drop everything that arrives: before the rules are in, a client shall try again and not hang.

    A socket filter of one instruction, `return 0` (linux/filter.h).
    """
    code = ctypes.create_string_buffer(struct.pack("=HBBI", BPF_RETURN, 0, 0, 0))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(code)))


def _let_in(sock: socket.socket) -> None:
    """Take the filter away again from a socket that answers itself; without one that is ENOENT."""
    with contextlib.suppress(FileNotFoundError):
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def _refused(address: str, number: int, protocol: str, exc: OSError) -> NetworkError:
    hint = None
    if exc.errno == errno.EADDRNOTAVAIL:
        hint = f"{address} is not an address of this machine"
    elif exc.errno == errno.EACCES:
        allow = f"sysctl -w net.ipv4.ip_unprivileged_port_start={number}"
        hint = f"root can allow it to everybody: {allow}; {doctor_row('low ports')}"
    return NetworkError(
        f"port {number}/{protocol}: publish on {address}: {os.strerror(exc.errno or 0)}", hint=hint
    )


def _owner(number: int, protocol: str) -> str:
    return (outside.owner if outside.is_elsewhere() else find_owner)(number, protocol)


def find_owner(number: int, protocol: str) -> str:
    """Return "name (pid 12)" of the process that has the port, "" when that can't be found out."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(number, protocol)}
    if not inodes:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes.intersection(_links(f"/proc/{pid}/fd")):
            return f"{_program(pid)} (pid {pid})"
    return ""


def _links(directory: str) -> Iterator[str]:
    """Yield what the descriptors of a process are; what vanishes, or isn't ours to see, is left out."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):
                yield os.readlink(f"{directory}/{name}")


def _inodes(number: int, protocol: str) -> Iterator[str]:
    """Yield the inodes of the sockets on a port: /proc/net/tcp and its kin, proc_net_tcp(5)."""
    for table in (protocol, protocol + "6"):
        try:
            with open(f"/proc/thread-self/net/{table}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        for row in rows:
            local, state, inode = row[1], row[3], row[9]
            if int(local.rpartition(":")[2], 16) == number and (protocol == "udp" or state == TCP_LISTEN):
                yield inode


def _program(pid: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode(errors="replace").split("\0")
        module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
        if module.startswith("pycompose"):
            return module
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()
    return "a process"


def _range_text(published: tuple[int, int] | None) -> str:
    if published is None:
        return "0"
    first, last = published
    return str(first) if first == last else f"{first}-{last}"
