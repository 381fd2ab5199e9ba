"""Copying what a container prints into its log, and to who is attached, a bounded amount per turn of the loop."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING

from pycompose.engine.keeper.attach import AttachedPipe
from pycompose.engine.keeper.loop import Loop

if TYPE_CHECKING:
    from pycompose.engine.logs.driver import LogDriver

TURN_BYTES = 64 * 1024
# More than what a pipe and a terminal can still hold when their last writer has gone.
DRAIN_BYTES = 4 << 20


class Output:
    """The readers of one container's streams; `add` them, `finish` when its processes are gone."""

    def __init__(self, loop: Loop, log: LogDriver) -> None:
        self._loop = loop
        self._log = log
        self._streams: dict[int, str] = {}
        self._pipes: list[tuple[str, AttachedPipe]] = []
        self._held_up = False

    def add(self, fd: int, stream: str) -> None:
        """Copy from `fd`, which is ours from now on, as "stdout" or "stderr"."""
        self._streams[fd] = stream
        self._loop.watch(fd, lambda _events: self._copy(fd))

    def attach(self, pipe: AttachedPipe, stream: str) -> None:
        """Pass on to `pipe` what comes from now on, till the end."""
        pipe.on_room = self._go_on
        self._pipes = [(name, one) for name, one in self._pipes if not one.closed]
        self._pipes.append((stream, pipe))

    def _copy(self, fd: int) -> bool:
        """Copy what is there, at most TURN_BYTES; False when there is nothing or nothing will come."""
        try:
            data = os.read(fd, TURN_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last process has closed the terminal
            data = b""
        if data:
            stream = self._streams[fd]
            self._log.write(stream, data)
            for name, pipe in self._pipes:
                if name == stream:
                    pipe.write(data)
            self._hold_up()
            return True
        # Every writer has closed it. Nobody can open it again, for it has no name inside.
        self._loop.forget(fd)
        os.close(fd)
        del self._streams[fd]
        return False

    def _hold_up(self) -> None:
        """Read nothing more while somebody who must have every byte doesn't keep up."""
        if not self._held_up and any(pipe.full for _name, pipe in self._pipes):
            self._held_up = True
            for fd in self._streams:
                self._loop.forget(fd)

    def _go_on(self) -> None:
        if self._held_up and not any(pipe.full for _name, pipe in self._pipes):
            self._held_up = False
            for fd, stream in list(self._streams.items()):
                self.add(fd, stream)

    def finish(self) -> None:
        """Copy what is left to the last byte, end the log, close everything."""
        for fd in list(self._streams):
            left = DRAIN_BYTES
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            while left > 0 and poll.poll(0) and self._copy(fd):
                left -= TURN_BYTES
        self._log.finish()
        self.close()

    def close(self) -> None:
        """Close everything and copy nothing more; pipes close when they have passed on what they have."""
        for fd in self._streams:
            self._loop.forget(fd)
            with contextlib.suppress(OSError):
                os.close(fd)
        self._streams.clear()
        self._log.close()
        pipes, self._pipes = self._pipes, []
        for _name, pipe in pipes:
            pipe.on_room = None
            pipe.finish()
