"""Netlink messages as they come from a socket: several in a block, errors with the kernel's words, and junk."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.networking.netlink.messages import (
    HEADER,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSGERR_ATTR_MSG,
    read_error,
    split,
)

NLMSGERR_ATTR_OFFS = 2


def message(kind: int, body: bytes, *, sequence: int = 1, flags: int = 0) -> bytes:
    length = HEADER.size + len(body)
    return HEADER.pack(length, kind, flags, sequence, 0) + body + bytes(-length % 4)


def error(code: int, words: str = "", *, capped: bool = True, payload: bytes = b"request") -> bytes:
    """Return an NLMSG_ERROR as netlink(7) has it: errno, the request or only its header, attributes."""
    request = HEADER.pack(HEADER.size + len(payload), 16, 5, 1, 0)
    body = struct.pack("=i", -code) + request
    if not capped:
        body += payload + bytes(-len(payload) % 4)
    flags = NLM_F_CAPPED if capped else 0
    if words:
        flags |= NLM_F_ACK_TLVS
        text = words.encode() + b"\0"
        body += struct.pack("=HHI", 8, NLMSGERR_ATTR_OFFS, 40)
        body += struct.pack("=HH", 4 + len(text), NLMSGERR_ATTR_MSG) + text + bytes(-len(text) % 4)
    return message(NLMSG_ERROR, body, flags=flags)


def read(block: bytes) -> tuple[int, str]:
    ((offset, length, _kind, _sequence),) = split(block)
    return read_error(block, offset, length)


def test_a_block_holds_several() -> None:
    """Each begins at a multiple of four bytes, whatever the length of the one before."""
    block = message(20, b"abc", sequence=7) + message(NLMSG_DONE, b"", sequence=8)

    assert list(split(block)) == [(0, 19, 20, 7), (20, 16, NLMSG_DONE, 8)]


@pytest.mark.parametrize("capped", (True, False))
def test_the_kernels_own_words(capped: bool) -> None:  # noqa: FBT001
    """They come behind the request, of which NETLINK_CAP_ACK leaves the header alone."""
    assert read(error(errno.EEXIST, capped=capped)) == (errno.EEXIST, os.strerror(errno.EEXIST))
    code, text = read(error(errno.EINVAL, "Unknown device type", capped=capped))

    assert (code, text) == (errno.EINVAL, "Invalid argument: Unknown device type")


def test_an_acknowledgement_is_error_0() -> None:
    assert read(error(0))[0] == 0


@given(st.binary(max_size=64))
def test_junk_ends(data: bytes) -> None:
    """A length that is less than a header's would never get on."""
    assert sum(1 for _ in split(data)) <= len(data) // HEADER.size
