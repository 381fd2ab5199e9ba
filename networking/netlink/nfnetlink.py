"""NETLINK_NETFILTER: batches that are applied whole or not at all, dumps.

nftables through libnftables or the nft binary would depend on what the machine has installed. Attribute numbers are
from linux/netfilter/nf_tables.h and nfnetlink.h; numbers in attributes are big-endian.
"""

from __future__ import annotations

import _socket as socket  # the module around it brings selectors and more: 3 ms of `network create`
import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import NetworkError, doctor_row
from pycompose.networking.netlink.attributes import attribute, attributes
from pycompose.networking.netlink.messages import (
    HEADER,
    LACKS,
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RECV_BYTES,
    SOL_NETLINK,
    read_error,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

NETLINK_NETFILTER = 12
SO_SNDBUFFORCE = 32
NFNL_SUBSYS_CTNETLINK = 1
NFNL_SUBSYS_NFTABLES = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11

FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}

_BE32 = struct.Struct(">I")
_GENERIC = struct.Struct(">BBH")


def be32(kind: int, value: int) -> bytes:
    """Return an attribute with a big-endian 32 bit number; negative ones in two's complement."""
    return attribute(kind, _BE32.pack(value & 0xFFFFFFFF))


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a batch; `what` names its object in errors, `ignore` are errnos that don't count."""

    kind: int
    flags: int
    family: int
    body: bytes
    what: str


class Transaction:
    """Changes of nftables objects that happen together or not at all."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def add(self, command: int, flags: int, family: str, body: bytes, what: str) -> None:
        """Append a request NFT_MSG_`command`."""
        kind = NFNL_SUBSYS_NFTABLES << 8 | command
        self._messages.append(Message(kind, flags, FAMILIES[family], body, what))

    def encode(self, first: int = 0) -> bytes:
        """Return the batch; the begin marker has the sequence number `first`, request n has `first` + n."""
        parts = [_batch_marker(BATCH_BEGIN, first)]
        for place, message in enumerate(self._messages, first + 1):
            flags = message.flags | NLM_F_REQUEST | NLM_F_ACK
            parts.append(_request(message.kind, flags, place, message.family, message.body))
        parts.append(_batch_marker(BATCH_END, first + len(self._messages) + 1))
        return b"".join(parts)

    def what(self, sequence: int) -> str:
        """Return the name of the object whose request has this sequence number."""
        return self._messages[sequence - 1].what if 0 < sequence <= len(self._messages) else "batch"

    def __len__(self) -> int:
        return len(self._messages)


class Netfilter:
    """A socket in the network namespace of the thread that makes it; usable from any thread.

    One is kept open, because closing a netfilter socket waits until the kernel has freed what the last
    transaction deleted: a grace period of RCU, 5 to 20 ms, which otherwise passes unnoticed.
    """

    def __init__(self) -> None:
        """Open the socket. Raises NetworkError when the kernel has no nfnetlink."""
        self._lock = threading.Lock()
        self._sequence = 0
        try:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
        except OSError as exc:
            raise NetworkError(
                f"nftables: open: {os.strerror(exc.errno or 0)}", hint=doctor_row("nftables")
            ) from exc
        self._socket.bind((0, 0))
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """By what the kernel knows the socket: nlmsg_pid of what it tells others of our requests."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def commit(self, transaction: Transaction) -> None:
        """Apply a batch. Raises NetworkError naming the first object that the kernel refused, and why."""
        if not len(transaction):
            return
        with self._lock:
            first = self._take(len(transaction) + 2)
            data = transaction.encode(first)
            try:
                self._make_room(max(2 * len(data), 1 << 16))
                self._socket.send(data)
                failure = self._await_answers(first, len(transaction))
            except OSError as exc:
                raise NetworkError(f"nftables: commit: {os.strerror(exc.errno or 0)}") from exc
        if failure is not None:
            place, code, reason = failure
            # ENOENT: an expression whose module isn't there.
            hint = doctor_row("nftables") if code in {*LACKS, errno.ENOENT} else None
            raise NetworkError(f"nftables: {transaction.what(place)}: {reason}", hint=hint) from OSError(
                code, reason
            )

    def _make_room(self, size_bytes: int) -> None:
        """Let a batch be one message, however many ports are published: root beyond net.core.wmem_max (socket(7))."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size_bytes)
        except PermissionError:  # the machine's memory isn't that of a user namespace's root to take
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)

    def _await_answers(self, first: int, count: int) -> tuple[int, int, str] | None:
        """Return place, errno and reason of the first refusal; None when the last request is acknowledged.

        A kernel that refuses a batch answers what failed, or the begin marker, and nothing after it.
        """
        while True:
            for offset, length, kind, sequence, block in self._receive():
                if kind != NLMSG_ERROR or not first <= sequence <= first + count + 1:
                    continue
                code, reason = read_error(block, offset, length)
                if code:
                    return sequence - first, code, reason
                if sequence == first + count:
                    return None

    def dump(
        self, subsystem: int, command: int, family: int = 0, body: bytes = b""
    ) -> list[tuple[int, dict[int, bytes]]]:
        """Return family and attributes of every object that the request `command` lists. Raises OSError."""
        found: list[tuple[int, dict[int, bytes]]] = []
        with self._lock:
            number = self._take(1)
            self._socket.send(
                _request(subsystem << 8 | command, NLM_F_REQUEST | NLM_F_DUMP, number, family, body)
            )
            while True:
                for offset, length, kind, sequence, block in self._receive():
                    if sequence != number:
                        continue
                    if kind == NLMSG_DONE:
                        return found
                    if kind == NLMSG_ERROR:
                        raise OSError(*read_error(block, offset, length))
                    start = offset + HEADER.size
                    found.append((block[start], attributes(block[start + _GENERIC.size : offset + length])))

    def request(self, subsystem: int, command: int, family: int, body: bytes) -> int:
        """Send one request outside a batch and return the errno of its answer. Raises OSError."""
        with self._lock:
            number = self._take(1)
            self._socket.send(
                _request(subsystem << 8 | command, NLM_F_REQUEST | NLM_F_ACK, number, family, body)
            )
            while True:
                for offset, length, kind, sequence, block in self._receive():
                    if kind == NLMSG_ERROR and sequence == number:
                        return read_error(block, offset, length)[0]

    def _receive(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        block = self._socket.recv(RECV_BYTES)
        for offset, length, kind, sequence in split(block):
            yield offset, length, kind, sequence, block

    def _take(self, count: int) -> int:
        first = self._sequence + 1
        self._sequence += count
        return first


def _request(kind: int, flags: int, sequence: int, family: int, body: bytes) -> bytes:
    length = HEADER.size + _GENERIC.size + len(body)
    return HEADER.pack(length, kind, flags, sequence, 0) + _GENERIC.pack(family, 0, 0) + body


def _batch_marker(kind: int, sequence: int) -> bytes:
    head = HEADER.pack(HEADER.size + _GENERIC.size, kind, NLM_F_REQUEST, sequence, 0)
    return head + _GENERIC.pack(0, 0, NFNL_SUBSYS_NFTABLES)
