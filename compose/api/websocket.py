"""WebSocket, the server's end, as far as `attach/ws` needs it: messages are a stream of bytes (RFC 6455)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.engine.digests import sha1

if TYPE_CHECKING:
    from pycompose.api.http import ApiCall, Headers, Wire

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
# Bits and kinds of frames (section 5.2), and why one closes (section 7.4.1).
_FIN, _RESERVED, _MASK, _CONTROL = 0x80, 0x70, 0x80, 0x8
TEXT, BINARY, _CLOSE, _PING, _PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_KINDS = frozenset({0x0, TEXT, BINARY, _CLOSE, _PING, _PONG})
_MOST_CONTROL_BYTES = 125
_NORMAL, _PROTOCOL_ERROR = (1000).to_bytes(2, "big"), (1002).to_bytes(2, "big")


def handshake(call: ApiCall) -> Headers:
    """Return the headers that accept a client's handshake (section 4.2). Raises ApiError."""
    if call.headers.get("upgrade", "").lower() != "websocket":
        raise ApiError(400, "not a WebSocket: the header `Upgrade: websocket` is missing")
    if call.headers.get("sec-websocket-version") != "13":
        raise ApiError(400, "Sec-WebSocket-Version: 13 is spoken here")
    key = call.headers.get("sec-websocket-key", "").encode("latin-1")
    if not key:
        raise ApiError(400, "Sec-WebSocket-Key is missing")
    accepted = base64.b64encode(sha1(key + _GUID).digest()).decode()
    return (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accepted))


def frame(kind: int, data: bytes) -> bytes:
    """Return a whole message as one frame (section 5.2); a server's has no mask."""
    size = len(data)
    if size <= _MOST_CONTROL_BYTES:
        head = bytes((_FIN | kind, size))
    elif size < 1 << 16:
        head = bytes((_FIN | kind, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | kind, 127)) + size.to_bytes(8, "big")
    return head + data


def _unmasked(data: bytes, mask: bytes) -> bytes:
    """Return what a client has masked (section 5.3): each byte XOR one of four."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class WebSocketWire:
    """A wire within a wire: what messages hold is what is read, and each write is a message.

    What is in a message is passed on as it comes, so that its size doesn't matter.
    """

    def __init__(self, wire: Wire, kind: int) -> None:
        """`kind` is that of messages that are written: TEXT or BINARY."""
        self._wire = wire
        self._kind = kind
        self._came = b""
        self._left = 0
        self._mask = b""
        self._over = False

    async def read(self) -> bytes:
        """Return what comes, b"" at the end of it. Raises OSError."""
        try:
            while not self._over:
                if not self._left:
                    await self._frame()
                elif part := self._taken(min(self._left, len(self._came))):
                    self._left -= len(part)
                    data, turn = _unmasked(part, self._mask), len(part) % 4
                    self._mask = self._mask[turn:] + self._mask[:turn]
                    return data
                else:
                    await self._more()
        except EOFError:
            self._over = True
        return b""

    async def write(self, data: bytes) -> None:
        """Send, and wait until there is room for more. Raises OSError."""
        await self._wire.write(frame(self._kind, data))

    async def close(self) -> None:
        """Say that nothing else comes. Raises OSError."""
        if not self._over:
            self._over = True
            await self._wire.write(frame(_CLOSE, _NORMAL))

    def hung_up(self) -> bool:
        """Tell whether the client has closed: of one direction alone there is no end."""
        return self._over or self._wire.hung_up()

    async def _frame(self) -> None:
        """Read up to the data of the next frame that has some, and do what those without ask for."""
        first, second = await self._exactly(2)
        kind, size = first & 0xF, second & 0x7F
        if size > _MOST_CONTROL_BYTES:
            size = int.from_bytes(await self._exactly(2 if size == 126 else 8), "big")
        wrong = first & _RESERVED or not second & _MASK
        control = kind & _CONTROL
        if wrong or kind not in _KINDS or (control and (size > _MOST_CONTROL_BYTES or not first & _FIN)):
            self._over = True
            await self._wire.write(frame(_CLOSE, _PROTOCOL_ERROR))
            return
        mask = await self._exactly(4)
        if not control:
            self._left, self._mask = size, mask
            return
        data = _unmasked(await self._exactly(size), mask)
        if kind == _CLOSE:
            self._over = True
            await self._wire.write(frame(_CLOSE, data[:2]))
        elif kind == _PING:
            await self._wire.write(frame(_PONG, data))

    async def _exactly(self, size: int) -> bytes:
        while len(self._came) < size:
            await self._more()
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        taken, self._came = self._came[:size], self._came[size:]
        return taken

    async def _more(self) -> None:
        data = await self._wire.read()
        if not data:
            raise EOFError
        self._came += data
