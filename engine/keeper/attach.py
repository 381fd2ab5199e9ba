"""A client that is shown what a container prints, as it arrives: the keeper's end of one pipe."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from pycompose.engine.keeper.loop import Loop

# What one client may have waiting here; more only at a container's end, by what its pipes still held.
BUFFER_BYTES = 1 << 20
_WRITE_BYTES = 1 << 16


class AttachedPipe:
    """Writes to a pipe without ever waiting; what the reader doesn't take is kept, up to BUFFER_BYTES.

    A `patient` one is for a reader that must have every byte: while it is `full` its container isn't read
    from, as if the container wrote to the reader itself. Any other reader misses what doesn't fit, and is
    told how much. `on_room` is called when it isn't full any more.
    """

    def __init__(self, loop: Loop, fd: int, *, patient: bool) -> None:
        """Take over `fd`, the writing end of a pipe or a socket; raises OSError for what cannot be polled."""
        self._loop = loop
        self._fd = fd
        self._patient = patient
        self._waiting = bytearray()
        self._lost = 0
        self._ending = False
        self.on_room: Callable[[], None] | None = None
        os.set_blocking(fd, False)
        loop.watch(fd, self._on_ready, 0)  # EPOLLERR: the reader has gone

    @property
    def closed(self) -> bool:
        """Whether its reader has gone, or has got everything."""
        return self._fd < 0

    @property
    def full(self) -> bool:
        """Whether its container has to wait."""
        return self._patient and self._fd >= 0 and len(self._waiting) >= BUFFER_BYTES

    def write(self, data: bytes) -> None:
        """Pass `data` on, now or later."""
        if self._fd < 0 or self._ending:
            return
        if not self._waiting and not self._lost:
            data = data[self._send(data) :]
            if self._fd < 0 or not data:
                return
        if self._lost or (not self._patient and len(self._waiting) + len(data) > BUFFER_BYTES):
            self._lost += len(data)
        else:
            self._waiting += data
        self._loop.watch(self._fd, self._on_ready, select.EPOLLOUT)

    def finish(self) -> None:
        """Close it when all has been passed on."""
        self._ending = True
        if not self._waiting:
            self._close()

    def _on_ready(self, events: int) -> None:
        if events & select.EPOLLERR:
            self._close()
            return
        was_full = self.full
        if self._waiting:
            del self._waiting[: self._send(self._waiting[:_WRITE_BYTES])]
        if self._fd >= 0 and not self._waiting:
            self._emptied()
        if was_full and not self.full and self.on_room is not None:
            self.on_room()

    def _emptied(self) -> None:
        if self._lost:
            self._waiting += f"\r\npycompose: {self._lost} bytes left out: not read in time\r\n".encode()
            self._lost = 0
        elif self._ending:
            self._close()
        else:
            self._loop.watch(self._fd, self._on_ready, 0)

    def _send(self, data: bytes | bytearray) -> int:
        """Write what goes; return how many bytes that were."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:  # EPIPE: nobody reads any more
            self._close()
            return 0

    def _close(self) -> None:
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._waiting.clear()
        if self.on_room is not None:
            self.on_room()
