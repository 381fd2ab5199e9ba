"""The project's watcher (live reload, pycompose.watch): a client that is asked before a container starts.

It writes the current files into the container while nobody else can: its entrypoint never sees old ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from pycompose.errors import SupervisorError
from pycompose.ipc.messages import StartingMessage

if TYPE_CHECKING:
    from pycompose.ipc.requests import WatchRequest
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer

log = logging.getLogger(__name__)

# As long as a large tree may take; who is silent for longer hangs, and must not keep containers from starting.
PREPARE_S = 60.0


class WatcherSeat:
    """The one watcher that there may be, and the containers that wait for it."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.background = False
        self._pid = 0
        self._services: frozenset[str] = frozenset()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.arrival = asyncio.Event()
        self._expected = False

    def expect(self) -> None:
        """Let starts wait for a watcher that is about to come."""
        self._expected = True
        if self.peer is None:
            self.arrival.clear()

    def expect_nobody(self) -> None:
        """Let nobody wait for it any more."""
        self._expected = False
        self.arrival.set()

    def check_free(self, project: str) -> None:
        """Raise SupervisorError, in Compose's words, when there is a watcher."""
        if self.peer is not None:
            raise SupervisorError(
                f'cannot take exclusive lock for project "{project}": process with PID {self._pid} is still running',
                hint=f"end it first: {'pycompose watch --stop' if self.background else f'kill {self._pid}'}",
            )

    def enter(self, project: str, peer: Peer, request: WatchRequest) -> None:
        """Take a client as the watcher; raises SupervisorError when there is one."""
        self.check_free(project)
        self.peer, self._pid, self.background = peer, request.pid, request.background
        self._services = frozenset(request.services)
        self.arrival.set()

    def leave(self) -> None:
        """Forget the watcher; whoever waits for it waits no more."""
        self.peer = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)

    def prepared(self, container_id: str) -> None:
        """Take its word that the files of a container are up to date."""
        waiting = self._waiting.get(container_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def before_start(self, tracked: TrackedContainer) -> None:
        """Let the watcher bring the files of a container up to date that is about to start."""
        if self.peer is None and self._expected and not tracked.record.oneoff:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.arrival.wait(), PREPARE_S)
        if self.peer is None or tracked.record.oneoff or tracked.service not in self._services:
            return
        container_id = tracked.config.id
        waiting = self._waiting[container_id] = asyncio.get_running_loop().create_future()
        self.peer.send(StartingMessage(starting=container_id))
        try:
            await asyncio.wait_for(waiting, PREPARE_S)
        except TimeoutError:
            log.warning("container %s: starts without its watcher, which says nothing", tracked.name)
            if self.peer is not None:
                self.peer.close()
        finally:
            del self._waiting[container_id]
