"""The supervisor's side of the forkserver (forkserver.py): starts one when a command would have liked it, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

from pycompose.engine.linux.process import set_rlimits_of
from pycompose.handover import DIRECTORY_VARIABLE, SOCKET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger("pycompose.supervisor")

FORKSERVER_FD = 3
# One that ends at once is not tried again with every command.
PAUSE_S = 30.0
END_S = 2.0
MESSAGE_BYTES = 16


class ForkserverProcess:
    """The forkserver of one supervisor, or none."""

    def __init__(self, directory: Path, limits: Mapping[str, tuple[int, int]]) -> None:
        """`directory` is where the project's sockets are.

        `limits` are those of whoever has started the supervisor: it performs commands for others that have the same.
        """
        self._directory = directory
        self._limits = limits
        self._channel: socket.socket | None = None
        self._closed = False
        self._pid = 0
        self._gone = asyncio.Event()
        self._not_before_s = 0.0

    def want(self) -> None:
        """Start a forkserver unless there is one."""
        if self._closed or self._channel is not None or time.monotonic() < self._not_before_s:
            return
        self._not_before_s = time.monotonic() + PAUSE_S
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        ours.setblocking(False)
        with theirs:
            try:
                self._pid = os.posix_spawn(
                    sys.executable,
                    [
                        sys.executable,
                        "-I",
                        "-m",
                        "pycompose.forkserver",
                        str(FORKSERVER_FD),
                    ],
                    {**os.environ, DIRECTORY_VARIABLE: str(self._directory)},
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), FORKSERVER_FD)],
                    setsid=True,
                )
            except OSError as exc:
                log.warning("cannot start a forkserver: %s", exc.strerror)
                ours.close()
                return
        with contextlib.suppress(OSError):
            set_rlimits_of(self._pid, self._limits)
        self._channel = ours
        self._gone.clear()
        asyncio.get_running_loop().add_reader(ours, self._heard)

    def _heard(self) -> None:
        """Let go of one that has ended, or that goes on by itself until the command it is busy with is over."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        asyncio.get_running_loop().remove_reader(channel)
        busy = b""
        with contextlib.suppress(ConnectionResetError):
            busy = channel.recv(MESSAGE_BYTES)
        channel.close()
        if not busy:
            with contextlib.suppress(ChildProcessError):
                _, status = os.waitpid(self._pid, 0)
                if status:
                    log.warning("the forkserver ended with code %s", os.waitstatus_to_exitcode(status))
            with contextlib.suppress(OSError):
                (self._directory / SOCKET).unlink()
        self._gone.set()

    async def end(self) -> None:
        """Let it end, and wait for that unless it is busy with the command that we end for."""
        self._closed = True
        if self._channel is None:
            return
        self._channel.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), END_S)
