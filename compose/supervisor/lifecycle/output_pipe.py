"""The output of a command, taken piece by piece from the supervisor's loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

# What a pipe holds (pipe(7)).
PIPE_BYTES = 65536


class OutputPipe:
    """A pipe for the output of a command: `take` gets what comes, `ended` is set at its end; a context manager."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._writing, True)
        self.ended = asyncio.Event()

    @property
    def writing(self) -> int:
        """The end for the command, until `listen`."""
        return self._writing

    def listen(self) -> None:
        """Close the end that the command has got by now, and take what comes out of the other one."""
        self._close_writing()
        self._loop.add_reader(self._reading, self.read)

    def read(self) -> None:
        """Take what is there: no more than a pipe holds."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._reading, PIPE_BYTES)
            if data:
                self._take(data)
            else:
                self._loop.remove_reader(self._reading)
                self.ended.set()

    def _close_writing(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._close_writing()
        self._loop.remove_reader(self._reading)
        os.close(self._reading)
