"""One asyncio loop answers the questions of all containers of a project.

Which container asks is known by the socket that the question comes from: it lies in that container's
namespace (sockets.py). All methods belong to the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.networking.dns import message
from pycompose.networking.dns.forward import Forwarder
from pycompose.networking.dns.known import KnownAnswers
from pycompose.networking.dns.message import Query
from pycompose.networking.dns.table import DnsTable, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pycompose.networking.dns.message import Answer

LARGEST_QUERY = 4096
DATAGRAMS_A_TURN = 64
MOST_IN_FLIGHT = 1024
MOST_CONNECTIONS = 32
TCP_IDLE_S = 10.0
TTL_S = 0  # a restart or a scaling may change addresses at any time

log = logging.getLogger(__name__)


class DnsServer:
    """Serves pairs of sockets. Assign `table` or `source` to change what is answered; any thread may."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstreams: Sequence[str]) -> None:
        """`upstreams` are the addresses of the servers to ask for what the table doesn't know, in order."""
        self.source: Callable[[], DnsTable] = DnsTable
        self._built: tuple[Callable[[], DnsTable], DnsTable] | None = None
        self._loop = loop
        self._upstreams = tuple(upstreams)
        self._clients: dict[str, _Client] = {}
        self.in_flight = 0

    def serve(
        self,
        container_id: str,
        udp: socket.socket,
        tcp: socket.socket,
        *,
        upstreams: Sequence[str] | None = None,
        ndots_set: bool = False,
    ) -> None:
        """Answer what comes to the sockets, which are the server's from now on, until `stop`.

        `upstreams` are the container's own (`dns:`). With `ndots_set` (the user gave `dns_opt: ndots:…`) a
        single label that isn't known is not passed on: the client will try it with its search domains.
        """
        self.stop(container_id)
        for sock in (udp, tcp):
            sock.setblocking(False)
        servers = upstreams or self._upstreams
        self._clients[container_id] = _Client(
            self, container_id, (udp, tcp), Forwarder(udp, servers), ndots_set=ndots_set
        )

    def stop(self, container_id: str) -> None:
        """Stop answering a container and close its sockets; no error when it isn't served."""
        client = self._clients.pop(container_id, None)
        if client is not None:
            client.close()

    @property
    def table(self) -> DnsTable:
        """The table that `source` returns, asked for it by the first question after a change."""
        source = self.source
        if self._built is None or self._built[0] is not source:
            self._built = source, source()
        return self._built[1]

    @table.setter
    def table(self, table: DnsTable) -> None:
        self.source = lambda: table

    def close(self) -> None:
        """Stop everything."""
        for container_id in list(self._clients):
            self.stop(container_id)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server lives on."""
        return self._loop


class _Client:
    """One container's sockets."""

    def __init__(
        self,
        server: DnsServer,
        container_id: str,
        sockets: tuple[socket.socket, socket.socket],
        forwarder: Forwarder,
        *,
        ndots_set: bool,
    ) -> None:
        self.sockets = sockets
        self._server = server
        self._container_id = container_id
        self._forwarder = forwarder
        self._ndots_set = ndots_set
        self._known = KnownAnswers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._udp, self._tcp = sockets
        server.loop.add_reader(self._udp.fileno(), self._datagrams)
        server.loop.add_reader(self._tcp.fileno(), self._accept)

    def close(self) -> None:
        for sock in (self._udp, self._tcp):
            self._server.loop.remove_reader(sock.fileno())
            sock.close()
        for task in self._tasks:
            task.cancel()
        self._forwarder.close()

    def _datagrams(self) -> None:
        """Answer what has come, a bounded amount, so that one container does not hold up the others."""
        for _turn in range(DATAGRAMS_A_TURN):
            try:
                data, sender = self._udp.recvfrom(LARGEST_QUERY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:  # an ICMP error of an earlier answer
                log.debug("dns: receive: %s", exc.strerror)
                continue
            known = self._known.find(data, self._server.source)
            if known is not None:
                self._send(known, sender)
            else:
                self._new_datagram(data, sender)

    def _new_datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        query = message.parse(data)
        if not isinstance(query, Query):
            if query is not None:
                self._send(query, sender)
            return
        answer, lasts = self._at_once(query)
        if answer is None:
            self._spawn(self._forward_datagram(data, query, sender))
            return
        answer = message.fitting(query, answer)
        if lasts:
            self._known.keep(data, answer)
        self._send(answer.under(data[:2]), sender)

    def _at_once(self, query: Query) -> tuple[Answer | None, bool]:
        """Return the answer that needs no other server, None when one must be asked.

        The flag tells whether it is the same as long as the table is.
        """
        if query.qclass != message.IN:
            return message.answer(query, rcode=message.REFUSED), False
        reply = self._server.table.lookup(self._container_id, query.name, query.qtype)
        if reply.outcome is Outcome.ANSWER:
            addresses, pointer = reply.addresses, reply.pointer
            return message.answer(query, addresses=addresses, pointer=pointer, ttl_s=TTL_S), True
        if reply.outcome is Outcome.NO_SUCH_NAME:
            return message.answer(query, rcode=message.NXDOMAIN), True
        single = "." not in query.name
        if self._ndots_set and single and query.qtype in (message.A, message.AAAA):
            return message.answer(query), True
        if self._server.in_flight >= MOST_IN_FLIGHT:
            return message.answer(query, rcode=message.REFUSED), False
        return None, False

    async def _forward(self, data: bytes, query: Query, *, tcp: bool) -> bytes:
        self._server.in_flight += 1
        try:
            answer = await self._forwarder.ask(data, query, tcp=tcp)
        except PycomposeError as exc:  # the namespace can't be entered
            log.debug("dns: %s", exc)
            answer = None
        finally:
            self._server.in_flight -= 1
        return answer or message.answer(query, rcode=message.SERVFAIL).under(data[:2])

    async def _forward_datagram(self, data: bytes, query: Query, sender: tuple[str, int]) -> None:
        self._send(await self._forward(data, query, tcp=False), sender)

    def _send(self, data: bytes, to: tuple[str, int]) -> None:
        with contextlib.suppress(OSError):  # the container is gone, or its buffer is full: it will ask again
            self._udp.sendto(data, to)

    def _accept(self) -> None:
        try:
            connection, _sender = self._tcp.accept()
        except OSError:
            return
        if self._connections >= MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._spawn(self._serve_connection(connection))

    async def _serve_connection(self, connection: socket.socket) -> None:
        self._connections += 1
        writer = None
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
            while True:
                async with asyncio.timeout(TCP_IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(length)
                answer = await self._answer_stream(data)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            if writer is not None:
                writer.close()
            else:
                connection.close()

    async def _answer_stream(self, data: bytes) -> bytes | None:
        query = message.parse(data)
        if not isinstance(query, Query):
            return query
        answer, _ = self._at_once(query)
        return answer.under(data[:2]) if answer else await self._forward(data, query, tcp=True)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._server.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
