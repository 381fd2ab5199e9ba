"""The protocol of the control socket, between commands and a project's supervisor.

A path socket (SOCK_SEQPACKET) in the project's 0700 directory; the server checks the peer's uid (SO_PEERCRED). One
packet is one JSON object; what doesn't fit into a packet travels in a memfd beside it. One connection carries one
operation:

    client                        supervisor
                           <--    {"hello": PROTOCOL, "pid": …, "version": …}
    {"op": "apply", …}     -->
                           <--    {"event": {…}}            any number
                           <--    {"result": {…}}  or  {"error": {…}}
    {"resize": [24, 80]}   -->    (sessions only: resize, signal)
                           <--    {"exit": 0}

A client that goes away cancels its operation, except those that say otherwise (supervisor/main.py).
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from pycompose.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PROTOCOL = 1
PACKET_BYTES = 60_000
MAX_FDS = 8
MAX_PAYLOAD_BYTES = 256 * 1024 * 1024

Message = dict[str, Any]


def encode(message: Message) -> tuple[bytes, list[int]]:
    """Return the packet of `message` and, when it is too long for one, the memfd that holds it (to be closed)."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) <= PACKET_BYTES:
        return data, []
    fd = os.memfd_create("pycompose-message", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return b'{"memfd":true}', [fd]


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message with descriptors; raises OSError (BlockingIOError on a full non-blocking socket)."""
    data, extra = encode(message)
    try:
        rights = [*extra, *fds]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else []
        sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
    finally:
        for fd in extra:
            os.close(fd)


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """Return the next message and its descriptors, (None, []) at the end; raises SupervisorError on nonsense."""
    data, ancillary, flags, _ = sock.recvmsg(
        PACKET_BYTES + 4096, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
            fds += received
    if not data:
        return None, fds
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("truncated packet")
        message = json.loads(data)
        if message.get("memfd"):
            with open(fds.pop(0), "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_PAYLOAD_BYTES:
                    raise ValueError("payload too large")
                file.seek(0)
                message = json.loads(file.read())
    except (ValueError, IndexError, AttributeError) as exc:
        for fd in fds:
            os.close(fd)
        raise SupervisorError(f"control socket: cannot understand the other side: {exc}") from exc
    return message, fds


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a name of `path` that fits into sun_path (108 bytes, unix(7)) however long the path is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
