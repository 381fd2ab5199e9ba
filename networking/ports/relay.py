"""Passes on what the kernel can't redirect: IPv6 to containers without it, and everything to [::1].

TCP is the work of a program of its own (relayprogram.py), and where that can't be had of the loop, which does the rest;
a container sees the gateway as the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from typing import TYPE_CHECKING, Any

from pycompose.networking.ports.relayprogram import RelayProgram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pycompose.networking.ports.connection import Connections

CONNECTIONS_A_TURN = 64
EXHAUSTED_S = 1.0
UDP_IDLE_S = 90.0
# Of one port; of all together half of the descriptors that we may have: who sends from everywhere mustn't take those
# that everything else of ours needs.
UDP_FLOWS = 1024
UDP_WAITING_BYTES = 1 << 21
DATAGRAMS_A_TURN = 64
DATAGRAM_BYTES = 1 << 16
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h: net.core.wmem_max and rmem_max don't count
IP_PKTINFO = 8  # linux/in.h
MULTICAST = 0xFF
# What has the kernel tell of each datagram where it was sent to; struct in6_pktinfo is the longer answer.
TOLD = {
    socket.AF_INET: (socket.IPPROTO_IP, IP_PKTINFO),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO),
}
TOLD_BYTES = socket.CMSG_SPACE(20)
LOOP_ANSWERS_S = 10.0

log = logging.getLogger(__name__)

# What sendmsg(2) is to be told: level, type and data.
Ancillary = tuple[tuple[int, int, bytes], ...]


class Relays:
    """What all relays of a process share: its loop, and the program."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        """`path` is where the program is put, to be executed."""
        self.loop = loop
        self.program = RelayProgram(loop, path)
        # Of all UDP ports, in the order in which they were used last.
        self.flows: dict[UdpFlow, None] = {}
        self.most_flows = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def close(self) -> None:
        """End the program."""
        self.program.close()


class Relay:
    """What is relayed to one container port; called from other threads, it waits for the loop."""

    def __init__(self, relays: Relays) -> None:
        self._loop = relays.loop
        self._relays = relays
        self._servers: list[_TcpServer | _UdpServer] = []

    def start(self, sock: socket.socket, target: tuple[str, int]) -> None:
        """Relay what comes to `sock` (TCP listening, or UDP) to `target`, until `stop`.

        `sock` is duplicated; the caller keeps and closes its own. Raises OSError.
        """
        copy = sock.dup()
        copy.setblocking(False)
        if sock.type == socket.SOCK_DGRAM:
            _make_room(copy)
        server: _TcpServer | _UdpServer
        if sock.type == socket.SOCK_STREAM:
            server = _TcpServer(copy, target, self._relays.program)
        else:
            server = _UdpServer(copy, target, self._relays)
        self._servers.append(server)
        asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(LOOP_ANSWERS_S)

    def retarget(self, target: tuple[str, int]) -> None:
        """Relay what comes from now on to another target; connections that are open stay where they are."""
        for server in self._servers:
            server.retarget(target)

    def stop(self) -> None:
        """Close the listening copies and all connections; afterwards the port is free."""
        servers, self._servers = self._servers, []
        if not self._loop.is_running():
            for server in servers:
                server.sock.close()
            return
        if _on(self._loop):
            for server in servers:
                server.close()
            return
        asyncio.run_coroutine_threadsafe(_close(servers), self._loop).result(LOOP_ANSWERS_S)


def _make_room(sock: socket.socket) -> None:
    """Let datagrams wait that come or go at once, 5,000 small ones in place of 256 (socket(7))."""
    for forced, asked in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, UDP_WAITING_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, asked, UDP_WAITING_BYTES)


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _close(servers: Sequence[_TcpServer | _UdpServer]) -> None:
    for server in servers:
        server.close()


class _TcpServer:
    """Waits for the first connection; from then on the program has the socket, or, where there is none, this loop."""

    def __init__(self, sock: socket.socket, target: tuple[str, int], program: RelayProgram) -> None:
        self.sock = sock
        self.target = target
        self.number = 0
        self._program = program
        self._connections: Connections | None = None

    async def start(self) -> None:
        self.lost()

    def lost(self) -> None:
        """Wait for a connection, as long as the program hasn't got the socket."""
        if self.sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self.sock.fileno(), self._came)

    def retarget(self, target: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):  # it is ending: `lost` comes next
            self._program.retarget(self, target)

    def _came(self) -> None:
        """Give the socket to the program, or take what has come where that can't be had now."""
        loop = asyncio.get_running_loop()
        try:
            self._program.listen(self)
        except OSError:
            self._accept(loop)
        else:
            loop.remove_reader(self.sock.fileno())

    def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what has come, a bounded amount."""
        if self._connections is None:
            from pycompose.networking.ports.connection import Connections  # noqa: PLC0415 - where the program can't run

            # Connections inherit it.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections = Connections(loop)
        for _turn in range(CONNECTIONS_A_TURN):
            try:
                client, _ = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:  # descriptors or memory: others have to give some back first
                log.warning("relay: accept: %s", exc.strerror)
                loop.remove_reader(self.sock.fileno())
                loop.call_later(EXHAUSTED_S, self.lost)
                return
            try:
                self._connections.open(client, self.target)
            except OSError as exc:
                log.warning("relay: open a connection: %s", exc.strerror)
                client.close()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        with contextlib.suppress(OSError):  # it is ending, and the socket's copy with it
            self._program.forget(self)
        self.sock.close()
        if self._connections is not None:
            self._connections.close()


class _UdpServer:
    """A flow per client and address that it sends to, closed after 90 s of silence, as the kernel forgets its own."""

    def __init__(self, sock: socket.socket, target: tuple[str, int], relays: Relays) -> None:
        self.sock = sock
        self.target = target
        self._relays = relays
        self._flows: dict[tuple[Any, Ancillary], UdpFlow] = {}

    async def start(self) -> None:
        self.sock.setsockopt(*TOLD[self.sock.family], 1)
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._came)

    def retarget(self, target: tuple[str, int]) -> None:
        self.target = target

    def _came(self) -> None:
        """Pass on what has come, a bounded amount."""
        for _turn in range(DATAGRAMS_A_TURN):
            try:
                data, told, _flags, client = self.sock.recvmsg(DATAGRAM_BYTES, TOLD_BYTES)
            except OSError:  # there is no more
                return
            with contextlib.suppress(OSError):  # no way there, or no descriptors: it is lost, as by a router
                self._flow(client, _answering(told)).send(data)

    def _flow(self, client: Any, answering: Ancillary) -> UdpFlow:
        """Return the flow that a datagram belongs to; they are in the order in which they were used last."""
        key = client, answering
        flow, everybodys = self._flows.pop(key, None), self._relays.flows
        if flow is None:
            if len(self._flows) >= UDP_FLOWS:
                next(iter(self._flows.values())).close()
            elif len(everybodys) >= self._relays.most_flows:
                next(iter(everybodys)).close()
            flow = UdpFlow(self, client, answering)
        everybodys.pop(flow, None)
        self._flows[key] = flow
        everybodys[flow] = None
        return flow

    def forget(self, flow: UdpFlow, client: Any, answering: Ancillary) -> None:
        """Know nothing more of a flow."""
        self._flows.pop((client, answering), None)
        self._relays.flows.pop(flow, None)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        for flow in list(self._flows.values()):
            flow.close()
        self.sock.close()


def _answering(told: Iterable[tuple[int, int, bytes]]) -> Ancillary:
    """Return what has an answer sent from where a datagram was sent to: ip(7), RFC 3542 section 6.

    Its way is the routes': only a link-local address means nothing without its interface.
    """
    for level, kind, data in told:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            # Of a broadcast it is the interface's; none is noted of what came before it was asked for.
            own = data[4:8] if any(data[4:8]) else data[8:12]
            return ((level, kind, bytes(4) + own + bytes(4)),)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and data[0] != MULTICAST:
            link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return ((level, kind, data if link_local else data[:16] + bytes(4)),)
    return ()


class UdpFlow:
    """What a client says to the container and is answered, by a socket of its own there. Making it raises OSError."""

    def __init__(self, server: _UdpServer, client: Any, answering: Ancillary) -> None:
        self._server = server
        self._client = client
        self._answering = answering
        self._timer: asyncio.TimerHandle | None = None
        family = socket.AF_INET6 if ":" in server.target[0] else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._sock.connect(server.target)
        except OSError:
            self._sock.close()
            raise
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._answered)

    def send(self, data: bytes) -> None:
        """Send it on; raises OSError."""
        self._touch()
        self._sock.send(data)

    def _answered(self) -> None:
        """Pass on what the container has answered, a bounded amount."""
        self._touch()
        for _turn in range(DATAGRAMS_A_TURN):
            try:
                data = self._sock.recv(DATAGRAM_BYTES)
            except OSError:  # there is no more, or nobody listens (ICMP): UDP has no way to tell the client
                return
            with contextlib.suppress(OSError):  # no room on the way: it is lost, as by a router
                self._server.sock.sendmsg([data], self._answering, 0, self._client)

    def close(self) -> None:
        """Forget the client."""
        if self._timer is not None:
            self._timer.cancel()
        self._server.forget(self, self._client, self._answering)
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()

    def _touch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(UDP_IDLE_S, self.close)
