"""Messages that are encoded once and then copied with other values in them.

pyroute2 needs 0.25 ms for a request, and a container needs eight: they were the largest part of its network. All
containers' requests look alike, so the library encodes one with values that stand out, and copies of it get the real
ones where those are found.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_cache: dict[tuple[Any, ...], _Template | None] = {}


class Value(NamedTuple):
    """One value: `plain` for the library, `wire` as it is in the message, `kind` for others of its sort."""

    kind: str
    plain: str | int
    wire: bytes


class _Template(NamedTuple):
    data: bytes
    places: tuple[tuple[int, ...], ...]

    def filled(self, values: Iterable[Value]) -> bytes:
        """Return a copy with each value at all of its places."""
        data = bytearray(self.data)
        for places, value in zip(self.places, values, strict=True):
            for place in places:
                data[place : place + len(value.wire)] = value.wire
        return bytes(data)


def text_value(value: str) -> Value:
    """Return a text; what comes behind it in the message depends on its length alone."""
    return Value("text", value, value.encode())


def number_value(value: int) -> Value:
    """Return an unsigned number of 32 bits in the machine's order."""
    return Value("number", value, struct.pack("=I", value))


def mac_value(value: str) -> Value:
    """Return a hardware address, written with colons."""
    return Value("mac", value, bytes.fromhex(value.replace(":", "")))


def ip_value(value: str) -> Value:
    """Return an IPv4 or IPv6 address."""
    family = socket.AF_INET6 if ":" in value else socket.AF_INET
    return Value("address", value, socket.inet_pton(family, value))


def filled(encode: Callable[..., bytes], *shape: object, **values: Value) -> bytes:
    """Return what `encode(*shape, **values)` does, given plain values; it is asked only for shapes that are new."""
    key = (encode, shape, *((value.kind, len(value.wire)) for value in values.values()))
    if key not in _cache:
        _cache[key] = _make(encode, shape, values)
    template = _cache[key]
    return _plainly(encode, shape, values) if template is None else template.filled(values.values())


def _plainly(encode: Callable[..., bytes], shape: tuple[object, ...], values: Mapping[str, Value]) -> bytes:
    return encode(*shape, **{name: value.plain for name, value in values.items()})


def _make(
    encode: Callable[..., bytes], shape: tuple[object, ...], values: Mapping[str, Value]
) -> _Template | None:
    """Encode with values that stand out; None when one of them looks like something else in the message."""
    marks = {name: _mark(value, slot) for slot, (name, value) in enumerate(values.items())}
    data = _plainly(encode, shape, marks)
    made = _Template(data, tuple(_places(data, mark.wire) for mark in marks.values()))
    return made if made.filled(values.values()) == _plainly(encode, shape, values) else None


def _places(data: bytes, mark: bytes) -> tuple[int, ...]:
    found = []
    place = data.find(mark)
    while place >= 0:
        found.append(place)
        place = data.find(mark, place + len(mark))
    return tuple(found)


def _mark(value: Value, slot: int) -> Value:
    """Return a value of the same kind and length that is unlike those of other slots."""
    size = len(value.wire)
    if value.kind == "text":
        return text_value(chr(ord("A") + slot) * size)
    if value.kind == "number":
        return number_value(0xB1C2D300 + slot)
    if value.kind == "mac":
        return mac_value(":".join([f"{0xA1 + slot:02x}"] * size))
    family = socket.AF_INET if size == 4 else socket.AF_INET6
    return ip_value(socket.inet_ntop(family, bytes([0xE1 + slot] * size)))
