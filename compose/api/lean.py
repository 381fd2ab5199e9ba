"""What keeps servers small that are there all day."""

from __future__ import annotations

import sys


def load_asyncio() -> None:
    """Load asyncio before anything else does: it would bring OpenSSL for connections that are never made with it.

    That is 1.6 MiB and 10 ms. Pulls find `ssl` as always.
    """
    if "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401, PLC0415 - see above
    finally:
        del sys.modules["ssl"]
