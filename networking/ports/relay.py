"""Copies what the kernel can't redirect: IPv6 to containers without it, and everything to [::1].

One asyncio loop serves all ports; a container sees the gateway as the client.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

UDP_IDLE_S = 90.0
UDP_FLOWS = 1024
UDP_WAITING = 32
LOOP_ANSWERS_S = 10.0

log = logging.getLogger(__name__)


class Relay:
    """What is relayed to one container port; called from other threads, it waits for the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: list[_TcpServer | _UdpServer] = []

    def start(self, sock: socket.socket, target: tuple[str, int]) -> None:
        """Relay what comes to `sock` (TCP listening, or UDP) to `target`, until `stop`.

        `sock` is duplicated; the caller keeps and closes its own. Raises OSError.
        """
        copy = sock.dup()
        copy.setblocking(False)
        server = (_TcpServer if sock.type == socket.SOCK_STREAM else _UdpServer)(copy, target)
        self._servers.append(server)
        asyncio.run_coroutine_threadsafe(server.start(), self._loop).result(LOOP_ANSWERS_S)

    def retarget(self, target: tuple[str, int]) -> None:
        """Relay what comes from now on to another target; connections that are open stay where they are."""
        for server in self._servers:
            server.target = target

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


def _on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _close(servers: Sequence[_TcpServer | _UdpServer]) -> None:
    for server in servers:
        server.close()
    await asyncio.sleep(0)  # transports close their sockets in the loop's next round


class _TcpServer:
    def __init__(self, sock: socket.socket, target: tuple[str, int]) -> None:
        self.sock = sock
        self.target = target
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self._ends, self._accepted), sock=self.sock)

    def _accepted(self, client: _End) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: _End) -> None:
        """Open the other half; a client whose container doesn't answer is reset."""
        loop = asyncio.get_running_loop()
        try:
            _transport, server = await loop.create_connection(lambda: _End(self._ends), *self.target)
        except OSError as exc:
            log.debug("relay to %s:%d: %s", *self.target, exc.strerror)
            client.reset()
            return
        client.pair(server)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.sock.close()
        for task in self._tasks:
            task.cancel()
        for end in list(self._ends):
            end.transport.abort()


class _End(asyncio.Protocol):
    """One half of a connection, read only while the other half can be written: no buffer grows."""

    transport: asyncio.Transport

    def __init__(self, ends: set[_End], accepted: Any = None) -> None:
        self._ends = ends
        self._accepted = accepted
        self._peer: _End | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._ends.add(self)
        self.transport.pause_reading()
        if self._accepted is not None:
            self._accepted(self)

    def reset(self) -> None:
        """Close with RST (socket(7), SO_LINGER of zero): the client sees an error, not an empty answer."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        self.transport.abort()

    def pair(self, other: _End) -> None:
        """Join two halves and let the data flow."""
        if self._lost or other._lost:
            self.transport.abort()
            other.transport.abort()
            return
        for one, two in ((self, other), (other, self)):
            one._peer = two  # noqa: SLF001
            one.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.transport.write(data)

    def eof_received(self) -> bool:
        """Pass half a close on; the other direction stays open."""
        if self._peer is not None and self._peer.transport.can_write_eof():
            self._peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self._peer is not None and not self._peer._lost:  # noqa: SLF001
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None and not self._peer._lost:  # noqa: SLF001
            self._peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._ends.discard(self)
        if self._peer is not None and not self._peer._lost:  # noqa: SLF001
            if exc is None:
                self._peer.transport.close()
            else:
                self._peer.reset()


class _UdpServer(asyncio.DatagramProtocol):
    """A flow per client address, closed after 90 s of silence, as the kernel forgets its own."""

    def __init__(self, sock: socket.socket, target: tuple[str, int]) -> None:
        self.sock = sock
        self.target = target
        self._transport: asyncio.DatagramTransport | None = None
        self._flows: dict[Any, _UdpFlow] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=self.sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        flow = self._flows.get(addr)
        if flow is None:
            if len(self._flows) >= UDP_FLOWS:
                return
            flow = self._flows[addr] = _UdpFlow(self, addr)
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._open(flow, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        flow.send(data)

    async def _open(self, flow: _UdpFlow, addr: Any) -> None:
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: flow, remote_addr=self.target)
        except OSError:
            self._flows.pop(addr, None)

    def answer(self, data: bytes, addr: Any) -> None:
        if self._transport is not None:
            self._transport.sendto(data, addr)

    def forget(self, addr: Any) -> None:
        self._flows.pop(addr, None)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for flow in list(self._flows.values()):
            flow.close()
        if self._transport is not None:
            self._transport.close()
        else:
            self.sock.close()


class _UdpFlow(asyncio.DatagramProtocol):
    def __init__(self, server: _UdpServer, client: Any) -> None:
        self._server = server
        self._client = client
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()
        self._touch()

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)
            self._touch()
        elif len(self._waiting) < UDP_WAITING:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - asyncio's signature
        self._server.answer(data, self._client)
        self._touch()

    def error_received(self, exc: Exception) -> None:
        """Ignore that nobody listens (ICMP): UDP has no way to tell the client."""

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._server.forget(self._client)
        if self._transport is not None:
            self._transport.close()

    def _touch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(UDP_IDLE_S, self.close)
