"""What clients of the control socket can ask for, and who answers it.

Operations that change something hold the project one after the other (project.py). `down`, `stop`, `kill` and `rm`
don't queue behind an `up` that waits for something: they interrupt it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import KeeperLost, PycomposeError, StateError
from pycompose.ipc.retry import REPEATABLE
from pycompose.supervisor.handlers.container import ContainerHandlers
from pycompose.supervisor.handlers.network import NetworkHandlers
from pycompose.supervisor.handlers.project import ProjectHandlers
from pycompose.supervisor.handlers.session import SessionHandlers

if TYPE_CHECKING:
    from pycompose.ipc.protocol import Message
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.project import ManagedProject


class Dispatcher:
    """The table of operations of one project."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed
        project = ProjectHandlers(managed)
        network = NetworkHandlers(managed)
        container = ContainerHandlers(managed)
        self._session = session = SessionHandlers(managed, project)
        self._handlers = {
            "apply": project.apply,
            "down": project.down,
            "start": project.start,
            "stop": project.stop,
            "restart": project.restart,
            "kill": project.kill,
            "rm": project.rm,
            "pause": project.pause,
            "hold": project.hold,
            "connect": network.connect,
            "disconnect": network.disconnect,
            "neighbours": network.neighbours,
            "rename": container.rename,
            "update": container.update,
            "exec": session.exec,
            "attach": session.attach,
            "run": session.run,
            "launch": session.launch,
            "rejoin": session.rejoin,
            "wait": session.wait,
            "subscribe": session.subscribe,
        }

    async def handle(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Perform the operation of `message`; raises PycomposeError."""
        handler = self._handlers.get(str(message["op"]))
        if handler is None:
            raise StateError(f"control socket: unknown operation {message['op']!r}")
        await self._managed.keepers.settled()
        runtime = self._managed.runtime
        losses = runtime.losses
        try:
            await handler(peer, message, fds)
        except PycomposeError as exc:
            # Whatever has failed, it has failed because of that.
            if runtime.losses != losses and message["op"] in REPEATABLE and not isinstance(exc, KeeperLost):
                raise KeeperLost(exc.message, hint=exc.hint) from exc
            raise

    def during(self, peer: Peer, message: Message, fds: list[int]) -> None:
        """Take a message that comes while an operation of the same connection is under way: resize, signal, leave."""
        self._session.during(peer, message, fds)
