"""Non-blocking descriptors in the event loop."""

from __future__ import annotations

import asyncio
import os

_PIECE_BYTES = 1 << 16


async def readable(fd: int) -> bytes:
    """Return what comes out of a non-blocking descriptor, b"" at its end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, _PIECE_BYTES)
        except BlockingIOError:
            ready = asyncio.Event()
            loop.add_reader(fd, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(fd)
        except OSError:  # a terminal whose last process has ended (pty(7))
            return b""


async def write_fd(fd: int, data: bytes) -> bool:
    """Write all to a non-blocking pipe; False when nobody reads it any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _writable(fd)
        except BrokenPipeError:
            return False
    return True


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
