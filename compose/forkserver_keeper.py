"""The keeper that a forkserver has in reserve for builds (engine/launch.py says what it is)."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from pycompose.engine import launch

if TYPE_CHECKING:
    from collections.abc import Callable


class SpareKeeper:
    """One at a time; `watch` and `forget` are the forkserver's loop. It is lent to one build, and comes back unused."""

    def __init__(
        self, watch: Callable[[int, Callable[[], None]], None], forget: Callable[[int], None]
    ) -> None:
        self._watch = watch
        self._forget = forget
        self._channel: socket.socket | None = None
        self._borrower = 0
        # Whether one has ended in a way that the next would, too.
        self._broken = False

    @property
    def is_there(self) -> bool:
        """Whether there is one, lent or not."""
        return self._channel is not None

    def start(self) -> bool:
        """Start one; tell whether that was possible."""
        if self._broken:
            return False
        try:
            pid, channel = launch.reserve()
        except OSError:
            return False
        pidfd = os.pidfd_open(pid)
        self._channel = channel
        self._watch(pidfd, lambda: self._ended(pid, pidfd))
        self._watch(channel.fileno(), self._used)
        return True

    def lend(self, borrower: int) -> list[int]:
        """Return the descriptor for the build of process `borrower`, [] when somebody else has it."""
        if self._channel is None or self._borrower:
            return []
        self._borrower = borrower
        return [self._channel.fileno()]

    def back(self, borrower: int) -> None:
        """Take it back from a process that has ended."""
        if borrower == self._borrower:
            self._borrower = 0

    def drop(self) -> None:
        """Have none any more: the one that was there ends, unless it is lent and will be used."""
        channel, self._channel = self._channel, None
        self._borrower = 0
        if channel is not None:
            self._forget(channel.fileno())
            channel.close()

    def _used(self) -> None:
        """Its end of the socket is closed, or has an answer for a build that has died: it is a project's now."""
        self.drop()

    def _ended(self, pid: int, pidfd: int) -> None:
        """Ask for the end of a keeper, whoever's it was."""
        self._forget(pidfd)
        os.close(pidfd)
        with contextlib.suppress(ChildProcessError):
            self._broken = os.waitpid(pid, 0)[1] != 0
