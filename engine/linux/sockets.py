"""Messages with descriptors over Unix sockets (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import socket
import struct

INT_BYTES = 4


def receive_fds(sock: socket.socket, size_bytes: int, count: int) -> tuple[bytes, list[int], int]:
    """Return data, at most `count` descriptors, which no program inherits, and the flags; raises OSError.

    socket.recv_fds takes flags for recvmsg(2) and ignores them (Python 3.11), so that MSG_CMSG_CLOEXEC has no effect.
    """
    data, ancillary, flags, _ = sock.recvmsg(
        size_bytes, socket.CMSG_LEN(count * INT_BYTES), socket.MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(rights) - len(rights) % INT_BYTES
            fds += struct.unpack(f"{whole // INT_BYTES}i", rights[:whole])
    return data, fds, flags


def peer_uid(sock: socket.socket) -> int:
    """Return the user of the other side, as our user namespace sees him (SO_PEERCRED, unix(7)); raises OSError."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 3 * INT_BYTES)
    return int(struct.unpack("3i", credentials)[1])
