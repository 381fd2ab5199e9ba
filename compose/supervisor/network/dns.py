"""The embedded DNS server of a project, reached from threads while it lives on the supervisor's loop."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Mapping

    from pycompose.networking.dns.server import DnsServer
    from pycompose.networking.dns.table import DnsTable
    from pycompose.networking.model import NetworkState
    from pycompose.policy.observed import EndpointRecord


class DnsService:
    """One server for all containers of the project; every container has a pair of sockets in its namespace."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstreams: tuple[str, ...]) -> None:
        self._loop = loop
        self._upstreams = upstreams
        self._made: DnsServer | None = None
        self._lock = threading.Lock()
        self._sockets: dict[str, tuple[socket.socket, socket.socket]] = {}

    @property
    def _server(self) -> DnsServer:
        """The server, imported and made for the first container that needs it."""
        from pycompose.networking.dns.server import DnsServer  # noqa: PLC0415

        with self._lock:
            if self._made is None:
                self._made = DnsServer(self._loop, self._upstreams)
            return self._made

    def serves(self, container_id: str) -> bool:
        """Tell whether the container has its sockets."""
        with self._lock:
            return container_id in self._sockets

    def sockets(self, container_id: str) -> tuple[socket.socket, ...]:
        """Return the container's sockets, () when it has none."""
        with self._lock:
            return self._sockets.get(container_id, ())

    def serve(
        self,
        container_id: str,
        udp: socket.socket,
        tcp: socket.socket,
        *,
        upstreams: tuple[str, ...] | None = None,
        ndots_set: bool = False,
    ) -> None:
        """Answer on these sockets, which are the server's from now on; `upstreams` are the service's own `dns:`."""
        with self._lock:
            self._sockets[container_id] = (udp, tcp)
        work = functools.partial(
            self._server.serve, container_id, udp, tcp, upstreams=upstreams or None, ndots_set=ndots_set
        )
        self._loop.call_soon_threadsafe(work)

    def stop(self, container_id: str) -> None:
        """Answer a container no more and close its sockets."""
        with self._lock:
            found = self._sockets.pop(container_id, None)
        if found is not None:
            self._loop.call_soon_threadsafe(self._server.stop, container_id)

    def update(
        self,
        networks: Mapping[str, NetworkState],
        containers: Mapping[str, tuple[tuple[EndpointRecord, ...], bool]],
        links: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Swap the table: who is on which network, and (where the flag says so) under which names.

        What is given must not change any more. Questions that come after this call find it. `links` are names of one
        client's own: container id → alias → name.
        """
        self._server.source = functools.partial(_table, networks, containers, links)

    def close(self) -> None:
        """Stop answering."""
        for container_id in list(self._sockets):
            self.stop(container_id)


def _table(
    networks: Mapping[str, NetworkState],
    containers: Mapping[str, tuple[tuple[EndpointRecord, ...], bool]],
    links: Mapping[str, Mapping[str, str]],
) -> DnsTable:
    """Make the table of what was told."""
    from pycompose.networking.dns.table import DnsRecord, DnsTable  # noqa: PLC0415 - with the server

    records = [
        DnsRecord(
            container_id=container_id,
            network=endpoint.network,
            ip=endpoint.ip,
            ip6=endpoint.ip6,
            names=endpoint.names if named else (),
        )
        for container_id, (endpoints, named) in containers.items()
        for endpoint in endpoints
    ]
    return DnsTable(records, networks.values(), links)
