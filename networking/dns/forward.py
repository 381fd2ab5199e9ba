"""Asking other servers what the table doesn't know.

From the container's own namespace, so that its route, its firewall and its source address count; from the
machine's for servers on the machine's loopback, and where the container has no way to the server's address
family.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import ipaddress
import logging
import os
import socket
from typing import TYPE_CHECKING

from pycompose.networking import netns
from pycompose.networking.dns import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.dns.message import Query

PORT = 53
TIMEOUT_S = 4.0
MOST_SERVERS = 3
LARGEST = 65535
SPARE_SOCKETS = 4
# sockios.h: the namespace of a socket, as a descriptor.
SIOCGSKNS = 0x894C
UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}

log = logging.getLogger(__name__)


class Forwarder:
    """Asks the upstream servers of one container, out of the namespace that `inside` (a socket) belongs to.

    All methods belong to the loop's thread.
    """

    def __init__(self, inside: socket.socket, upstreams: Sequence[str]) -> None:
        self._inside = inside
        self._upstreams = tuple(upstreams[:MOST_SERVERS])
        self._spare: dict[tuple[int, int], list[socket.socket]] = {}

    async def ask(self, data: bytes, query: Query, *, tcp: bool) -> bytes | None:
        """Return the first useful response with the client's id, the last useless one, or None."""
        last = None
        for upstream in self._upstreams:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    response = await self._ask_one(upstream, data, query, tcp=tcp)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
                log.debug("dns: %s: %s", upstream, exc or "no answer")
                continue
            last = message.with_id(response, query.id)
            if message.rcode_of(response) not in (message.SERVFAIL, message.REFUSED):
                return last
        return last

    def close(self) -> None:
        """Close the sockets that were made in advance."""
        for sockets in self._spare.values():
            for sock in sockets:
                sock.close()
        self._spare.clear()

    async def _ask_one(self, upstream: str, data: bytes, query: Query, *, tcp: bool) -> bytes:
        """Send the question under a random id from a random port: both must be guessed to forge an answer."""
        identity = int.from_bytes(os.urandom(2), "big")
        request = message.with_id(data, identity)
        loop = asyncio.get_running_loop()
        with await self._connect(upstream, tcp=tcp) as sock:
            if tcp:
                await loop.sock_sendall(sock, len(request).to_bytes(2, "big") + request)
                length = int.from_bytes(await _read(sock, 2), "big")
                response = await _read(sock, length)
                if not message.answers(response, identity, query):
                    raise OSError(errno.EBADMSG, "not an answer to the question")
                return response
            await loop.sock_sendall(sock, request)
            while True:
                response = await loop.sock_recv(sock, LARGEST)
                if message.answers(response, identity, query):
                    return response

    async def _connect(self, upstream: str, *, tcp: bool) -> socket.socket:
        """Return a socket connected to the server. Raises OSError."""
        loop = asyncio.get_running_loop()
        target = _target(upstream)
        family = socket.AF_INET6 if ":" in upstream else socket.AF_INET
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        if not _only_from_machine(upstream):
            sock = self._inner_socket(family, kind)
            try:
                await loop.sock_connect(sock, target)
            except OSError as exc:
                sock.close()
                if exc.errno not in UNREACHABLE:
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await loop.sock_connect(sock, target)
        except BaseException:
            sock.close()
            raise
        return sock

    def _inner_socket(self, family: int, kind: int) -> socket.socket:
        """Return an unbound socket of the container's namespace; a few are made at each visit."""
        spare = self._spare.setdefault((family, kind), [])
        if not spare:
            fd = fcntl.ioctl(self._inside, SIOCGSKNS)
            try:
                flags = kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                spare += netns.enter(fd, lambda: [socket.socket(family, flags) for _ in range(SPARE_SOCKETS)])
            finally:
                os.close(fd)
        return spare.pop()


def _target(upstream: str) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the socket address of a server; the zone of a link-local one becomes the interface's index."""
    address, _, zone = upstream.partition("%")
    if not zone:
        return address, PORT
    index = int(zone) if zone.isdigit() else 0
    with contextlib.suppress(OSError):
        index = index or socket.if_nametoindex(zone)
    return address, PORT, 0, index


def _only_from_machine(upstream: str) -> bool:
    return "%" in upstream or ipaddress.ip_address(upstream).is_loopback


async def _read(sock: socket.socket, count: int) -> bytes:
    """Return exactly `count` bytes. Raises IncompleteReadError."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        block = await loop.sock_recv(sock, count - len(data))
        if not block:
            raise asyncio.IncompleteReadError(data, count)
        data += block
    return data
