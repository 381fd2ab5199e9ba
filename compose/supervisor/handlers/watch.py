"""`watch`: who keeps the files of containers like those outside (live reload) stays connected as long as it does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pycompose.ipc.messages import ChangeResult, SubscribedMessage, WatcherResult
from pycompose.state.watching import WatchCommand

if TYPE_CHECKING:
    from pycompose.ipc.requests import StartWatcherRequest, StopWatcherRequest, WatchRequest
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.project import ManagedProject


class WatchHandlers:
    """The operations of a project's watcher, and of the one in the background."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed

    async def watch(self, peer: Peer, request: WatchRequest, _: list[int]) -> None:
        """Tell the watcher of every event and every start, until it hangs up, which cancels this."""
        managed = self._managed
        managed.watcher.enter(managed.name, peer, request)
        if request.background:
            managed.tasks.rest()
        try:
            managed.events.subscribers.add(peer)
            active = {t.config.id: t.active for t in managed.lifecycle.tracked.values()}
            peer.send(SubscribedMessage(subscribed=active, time_ns=time.time_ns()))
            await asyncio.Event().wait()
        finally:
            managed.watcher.leave()

    async def start(self, peer: Peer, request: StartWatcherRequest, _: list[int]) -> None:
        """Watch in the background, from when this is answered on."""
        command = WatchCommand(
            args=request.args, directory=request.directory, environment=request.environment
        )
        peer.answer(WatcherResult(pid=await self._managed.background_watcher.start(command)))

    async def stop(self, peer: Peer, _request: StopWatcherRequest, _: list[int]) -> None:
        """Watch in the background no more."""
        peer.answer(ChangeResult(nothing=not await self._managed.background_watcher.stop()))
