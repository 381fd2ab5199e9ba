"""What all netlink families share: headers, acknowledgements, the kernel's words for an error (netlink(7))."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1

# What a kernel says that has no such thing, or doesn't let us have it.
LACKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EAFNOSUPPORT})

HEADER = struct.Struct("=IHHII")
RECV_BYTES = 1 << 18


def split(block: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield offset, length, type and sequence number of each message in `block` (netlink(7))."""
    offset = 0
    while offset + HEADER.size <= len(block):
        length, kind, _flags, sequence, _pid = HEADER.unpack_from(block, offset)
        if length < HEADER.size:
            return
        yield offset, length, kind, sequence
        offset += (length + 3) & ~3


def read_error(block: bytes, offset: int, length: int) -> tuple[int, str]:
    """Return errno and text of the NLMSG_ERROR at `offset`, with the kernel's extended words if any."""
    (negative,) = struct.unpack_from("=i", block, offset + HEADER.size)
    text = os.strerror(-negative)
    (flags,) = struct.unpack_from("=H", block, offset + 6)
    if flags & NLM_F_ACK_TLVS:
        (inner,) = struct.unpack_from("=I", block, offset + HEADER.size + 4)
        place = offset + HEADER.size + 4 + (HEADER.size if flags & NLM_F_CAPPED else (inner + 3) & ~3)
        end = offset + length
        while place + 4 <= end:
            size, kind = struct.unpack_from("=HH", block, place)
            if size < 4:
                break
            if kind & 0x3FFF == NLMSGERR_ATTR_MSG:
                text += ": " + block[place + 4 : place + size].rstrip(b"\0").decode(errors="replace")
            place += (size + 3) & ~3
    return -negative, text
