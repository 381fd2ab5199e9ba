"""Starting the supervisor again when it has died: it told us how, when it connected."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence

from pycompose.engine.keeper.loop import Loop

FIRST_S = 0.2
MOST_S = 30.0
MOST_TRIES = 12
LONG_S = 10.0


class SupervisorRestarter:
    """One supervisor at a time is on guard; when it leaves without a word, `argv` is started after a while.

    That one ends by itself, and us with it, if there is nothing to look after. The wait doubles with every try,
    and starts anew after a supervisor that has lived for LONG_S. `pid` is the one we started, 0 when it isn't there.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._argv: list[str] = []
        self._environment: dict[str, str] = {}
        self._guard: object | None = None
        self._since_s = 0.0
        self._tries = 0
        self._waiting = False
        self.pid = 0
        self._pidfd = -1

    def guarded_by(self, guard: object, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Remember who is on guard and how to start the next one; () means that this one leaves for good."""
        self._guard = guard if argv else None
        self._argv, self._environment = list(argv), dict(environment)
        self._since_s = time.monotonic()

    def gone(self, connection: object) -> None:
        """Take the end of a connection."""
        if connection is self._guard:
            self._guard = None
            self._wait()

    def _wait(self) -> None:
        if time.monotonic() - self._since_s >= LONG_S:
            self._tries = 0
        if self._tries == MOST_TRIES:
            print(
                f"supervisor: died {MOST_TRIES} times in a row: not started again",
                file=sys.stderr,
                flush=True,
            )
        elif not self._waiting and self._pidfd < 0:
            self._waiting = True
            self._loop.after(min(FIRST_S * 2**self._tries, MOST_S), self._start)

    def _start(self) -> None:
        self._waiting = False
        if self._guard is not None or not self._argv:
            return
        self._tries += 1
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        try:
            pid = os.posix_spawn(
                self._argv[0], self._argv, self._environment, file_actions=null, setsid=True, setsigmask=()
            )
        except OSError as exc:
            print(f"supervisor: cannot start {self._argv[0]}: {exc.strerror}", file=sys.stderr, flush=True)
            self._wait()
            return
        self.pid, self._pidfd = pid, os.pidfd_open(pid)
        self._loop.watch(self._pidfd, lambda _events: self._ended())

    def _ended(self) -> None:
        """Reap what we started. If nobody is on guard then, it has failed."""
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self.pid, self._pidfd = 0, -1
        if self._guard is None and self._argv:
            self._wait()
