"""Attributes of netlink messages: a length, a number, a value, padded to four bytes (netlink(7))."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF

_ATTRIBUTE = struct.Struct("=HH")


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded to four bytes. Raises ValueError above 65531 bytes."""
    length = _ATTRIBUTE.size + len(payload)
    if length > 0xFFFF:
        raise ValueError(f"netlink attribute {kind & NLA_TYPE_MASK}: {len(payload)} bytes don't fit")
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Return an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """Return an attribute with a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the payloads of the attributes in `data` by number; what is malformed ends the list."""
    return dict(_attributes(data))


def attribute_values(data: bytes) -> list[bytes]:
    """Return the payloads of the attributes in `data` in their order: of a list, whose elements have one number."""
    return [payload for _kind, payload in _attributes(data)]


def text_of(payload: bytes | None) -> str:
    """Return the string in an attribute, "" when there is none."""
    return (payload or b"").rstrip(b"\0").decode(errors="replace")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size or place + length > len(data):
            break
        yield kind & NLA_TYPE_MASK, data[place + _ATTRIBUTE.size : place + length]
        place += (length + 3) & ~3
