"""What clients of the control socket can ask for, and who answers it.

Operations that change something hold the project one after the other (project.py). `down`, `stop`, `kill` and `rm`
don't queue behind an `up` that waits for something: they interrupt it first.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import KeeperLost, PycomposeError
from pycompose.errors import SupervisorError
from pycompose.ipc import requests
from pycompose.ipc.messages import PreparedMessage, session_message
from pycompose.supervisor.handlers.container import ContainerHandlers
from pycompose.supervisor.handlers.network import NetworkHandlers
from pycompose.supervisor.handlers.project import ProjectHandlers
from pycompose.supervisor.handlers.session import SessionHandlers
from pycompose.supervisor.handlers.watch import WatchHandlers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pycompose.ipc.protocol import Message
    from pycompose.ipc.requests import SupervisorRequest
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.project import ManagedProject

    # What each takes as its request is in its signature (tests/unit/compose/test_requests.py compares).
    Handler = Callable[[Peer, Any, list[int]], Awaitable[None]]


class Dispatcher:
    """The table of operations of one project."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed
        project = ProjectHandlers(managed)
        managed.take_down_orphan = project.orphaned
        network = NetworkHandlers(managed)
        container = ContainerHandlers(managed)
        self._session = session = SessionHandlers(managed, project)
        watch = WatchHandlers(managed)
        self.handlers: dict[type[SupervisorRequest[Any]], Handler] = {
            requests.ApplyRequest: project.apply,
            requests.DownRequest: project.down,
            requests.StartRequest: project.start,
            requests.StopRequest: project.stop,
            requests.RestartRequest: project.restart,
            requests.KillRequest: project.kill,
            requests.RemoveRequest: project.rm,
            requests.PauseRequest: project.pause,
            requests.HoldRequest: project.hold,
            requests.OwnRequest: project.own,
            requests.DisownRequest: project.disown,
            requests.ConnectRequest: network.connect,
            requests.DisconnectRequest: network.disconnect,
            requests.RefreshNamesRequest: network.refresh_names,
            requests.RenameRequest: container.rename,
            requests.UpdateRequest: container.update,
            requests.ExecRequest: session.exec,
            requests.AttachRequest: session.attach,
            requests.RunRequest: session.run,
            requests.LaunchRequest: session.launch,
            requests.RejoinRequest: session.rejoin,
            requests.WaitRequest: session.wait,
            requests.SubscribeRequest: session.subscribe,
            requests.WatchRequest: watch.watch,
            requests.StartWatcherRequest: watch.start,
            requests.StopWatcherRequest: watch.stop,
        }

    async def handle(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Perform the operation that `message` asks for; raises PycomposeError."""
        request = requests.request_from_message(message)
        await self._managed.keepers.replaced()
        runtime = self._managed.runtime
        losses = runtime.losses
        try:
            await self.handlers[type(request)](peer, request, fds)
        except PycomposeError as exc:
            # Whatever has failed, it has failed because of that.
            if runtime.losses != losses and request.repeatable and not isinstance(exc, KeeperLost):
                raise KeeperLost(exc.message, hint=exc.hint) from exc
            raise

    def during(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal, leave.

        Any other has come too late, from a client that gives up.
        """
        with contextlib.suppress(SupervisorError):
            decoded = session_message(message)
            if isinstance(decoded, PreparedMessage):
                self._managed.watcher.prepared(decoded.prepared)
            else:
                self._session.during(peer, decoded, fds)
