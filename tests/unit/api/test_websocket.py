"""Frames of WebSocket, as RFC 6455 has them."""

from __future__ import annotations

import asyncio

import pytest
from pycompose.api.websocket import BINARY, TEXT, WebSocketWire, frame

MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # section 5.7


class Memory:
    """A wire that has the client's bytes already, in pieces of `size`."""

    def __init__(self, came: bytes, size: int) -> None:
        self.pieces = [came[place : place + size] for place in range(0, len(came), size)]
        self.sent = b""

    async def read(self) -> bytes:
        """Return the next piece."""
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        """Keep what is sent."""
        self.sent += data

    def hung_up(self) -> bool:
        """Tell whether there is nothing more."""
        return not self.pieces


def read(came: bytes, size: int = 1000) -> tuple[bytes, bytes]:
    """Return what is read of a client's bytes, and what is answered."""
    memory = Memory(came, size)
    wire = WebSocketWire(memory, BINARY)

    async def run() -> bytes:
        found = b""
        while data := await wire.read():
            found += data
        return found

    return asyncio.run(run()), memory.sent


def sent(kind: int, data: bytes, mask: bytes = b"\x01\x02\x03\x04", first: int = 0x80) -> bytes:
    """Return a client's frame of at most 125 bytes."""
    hidden = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    return bytes((first | kind, 0x80 | len(data))) + mask + hidden


@pytest.mark.parametrize("size", (1, 2, 3, 7, 1000))
def test_messages_are_a_stream(size: int) -> None:
    """In whatever pieces they come, with fragments, pings between them, and a close."""
    came = MASKED_HELLO + sent(BINARY, b" wo", first=0) + sent(0x9, b"are you there?") + sent(0x0, b"rld")
    came += sent(BINARY, b"") + sent(0x8, (1000).to_bytes(2, "big") + b"bye") + MASKED_HELLO
    assert read(came, size) == (b"Hello world", frame(0xA, b"are you there?") + frame(0x8, b"\x03\xe8"))


def test_long_messages() -> None:
    data = bytes(range(256)) * 300
    mask = b"\xaa\xbb\xcc\xdd"
    hidden = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
    assert read(b"\x82\xff" + len(data).to_bytes(8, "big") + mask + hidden, 777) == (data, b"")
    assert frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")  # section 5.7
    assert frame(BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")


@pytest.mark.parametrize(
    "wrong",
    (
        bytes.fromhex("810548656c6c6f"),
        sent(BINARY, b"x", first=0xC0),
        sent(0x3, b"x"),
        sent(0x9, b"x", first=0),
        b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + bytes(126),
    ),
    ids=("unmasked", "reserved", "kind", "fragment", "long"),
)
def test_who_breaks_the_protocol_is_told(wrong: bytes) -> None:
    assert read(MASKED_HELLO + wrong + MASKED_HELLO) == (b"Hello", frame(0x8, (1002).to_bytes(2, "big")))
