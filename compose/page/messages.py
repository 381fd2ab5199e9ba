"""What a page and its server say to each other on a WebSocket: JSON, from the page an object on each line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pycompose.api.http import Wire

MOST_BYTES = 1 << 18


def message(kind: str, value: Any) -> bytes:
    """Return what a page is told: `[kind, value]`, in ASCII."""
    return json.dumps([kind, value], separators=(",", ":"), ensure_ascii=True).encode()


async def objects(wire: Wire) -> AsyncGenerator[dict[str, Any], None]:
    """Yield what a page says until it has gone, or says what isn't JSON or has no end. Raises OSError."""
    rest = b""
    while data := await wire.read():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not isinstance(found, dict):
                return
            yield found
        if len(rest) > MOST_BYTES:
            return
