"""Supervisors for the stacks of this process: the first is started as any other's, later ones are forked.

What they are forked from (supervisor/template.py) is started with the second, and ends with this process. It is for
stacks that begin as that one did: another environment, user, limit or namespace gets another one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from pycompose.handover import identity
from pycompose.ipc.client import StartingSupervisor
from pycompose.ipc.spawn import KEPT, spawn_template

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths


class _Template:
    """The process that supervisors are forked from."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it; raises OSError."""
        self._channel = socket.socket(fileno=spawn_template(environment))

    def fork(self) -> int:
        """Begin a supervisor and return our end of its socket. Raises OSError when the template has died."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            socket.send_fds(self._channel, [b"x"], [theirs.fileno()])
            undo.pop_all()
        return ours.detach()

    def close(self) -> None:
        """Let it end."""
        self._channel.close()


class _Warm:
    """What this process has begun with so far. A fork of it begins anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beginnings = b""
        self._template: _Template | None = None

    def begin(self, paths: StatePaths) -> StartingSupervisor:
        """Return a supervisor that is to be told its project. Raises SupervisorError."""
        environment = paths.to_environment()
        kept = [os.environ.get(name) for name in KEPT]
        like = repr((os.getpid(), sorted(environment.items()), kept, identity())).encode()
        with self._lock:
            if like != self._beginnings:
                self._forget()
                self._beginnings = like
                return StartingSupervisor.spawn(paths)
            try:
                self._template = self._template or _Template(environment)
                return StartingSupervisor(self._template.fork())
            except OSError:
                self._forget()
                return StartingSupervisor.spawn(paths)

    def _forget(self) -> None:
        if self._template is not None:
            self._template.close()
            self._template = None


begin = _Warm().begin
