"""Restarts the supervisor when it has died: each one tells, when it connects, how the next one is started."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence

from pycompose.engine.keeper.loop import Loop

FIRST_DELAY_S = 0.2
MOST_DELAY_S = 30.0
MOST_TRIES = 12
STABLE_S = 10.0


class SupervisorRestarter:
    """Starts `argv` again when the registered supervisor's connection ends without a goodbye.

    That one ends by itself, and us with it, if there is nothing to look after. The delay doubles with every try,
    and starts anew after a supervisor that has lived for STABLE_S. `pid` is the one we started, 0 when it isn't there.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._argv: list[str] = []
        self._environment: dict[str, str] = {}
        self._registered: object | None = None
        self._since_s = 0.0
        self._tries = 0
        self._scheduled = False
        self.pid = 0
        self._pidfd = -1

    def register(self, connection: object, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Remember a supervisor's connection and how to start the next one; () is its goodbye."""
        self._registered = connection if argv else None
        self._argv, self._environment = list(argv), dict(environment)
        self._since_s = time.monotonic()

    def closed(self, connection: object) -> None:
        """Restart the supervisor, after a delay, if this was its connection."""
        if connection is self._registered:
            self._registered = None
            self._schedule()

    def _schedule(self) -> None:
        if time.monotonic() - self._since_s >= STABLE_S:
            self._tries = 0
        if self._tries == MOST_TRIES:
            print(
                f"supervisor: died {MOST_TRIES} times in a row: not started again",
                file=sys.stderr,
                flush=True,
            )
        elif not self._scheduled and self._pidfd < 0:
            self._scheduled = True
            self._loop.after(min(FIRST_DELAY_S * 2**self._tries, MOST_DELAY_S), self._start)

    def _start(self) -> None:
        self._scheduled = False
        if self._registered is not None or not self._argv:
            return
        self._tries += 1
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        try:
            pid = os.posix_spawn(
                self._argv[0], self._argv, self._environment, file_actions=null, setsid=True, setsigmask=()
            )
        except OSError as exc:
            print(f"supervisor: cannot start {self._argv[0]}: {exc.strerror}", file=sys.stderr, flush=True)
            self._schedule()
            return
        self.pid, self._pidfd = pid, os.pidfd_open(pid)
        self._loop.watch(self._pidfd, lambda _events: self._ended())

    def _ended(self) -> None:
        """Reap what we started. If no supervisor is registered then, it has failed."""
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self.pid, self._pidfd = 0, -1
        if self._registered is None and self._argv:
            self._schedule()
