"""The watcher's connection to the project's supervisor: who the watcher is, what happens, what is about to start."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

from pycompose.client.supervisor import reach
from pycompose.engine.errors import PycomposeError
from pycompose.errors import NotRunning, SupervisorError
from pycompose.ipc.messages import ContainerMessage, PreparedMessage, StartingMessage, SubscribedMessage
from pycompose.ipc.requests import WatchRequest
from pycompose.state.snapshot import claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.events import ContainerEvent
    from pycompose.ipc.client import Connection

# After a supervisor has died the keeper starts another one; this is for the time until then.
RECONNECT_S = 0.1


class SupervisorLink:
    """One connection, made anew when the supervisor has died. The callbacks come from its thread."""

    def __init__(  # noqa: PLR0913 - whom to tell
        self,
        context: Context,
        project: str,
        services: tuple[str, ...],
        *,
        background: bool,
        starting: Callable[[str], None],
        happened: Callable[[ContainerEvent], None],
        reconnected: Callable[[], None],
        lost: Callable[[PycomposeError | None], None],
    ) -> None:
        """`lost`: another watcher has taken our place, or (None) the project of one in the background has gone."""
        self._context, self._project, self._background = context, project, background
        self._services = services
        self._starting, self._happened = starting, happened
        self._reconnected, self._lost = reconnected, lost
        self._connection: Connection | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def open(self) -> None:
        """Become the project's watcher; raises SupervisorError when there is one."""
        self._connection = self._connect()
        self._thread.start()

    def close(self) -> None:
        """Stop being it."""
        self._closed.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def prepared(self, container_id: str) -> None:
        """Tell the supervisor that a container may start."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.tell(PreparedMessage(prepared=container_id))

    def _connect(self) -> Connection:
        connection = reach(self._context, self._project)
        try:
            connection.send(
                WatchRequest(services=self._services, pid=os.getpid(), background=self._background)
            )
            message, _ = connection.receive()
        except BaseException:
            connection.close()
            raise
        if not isinstance(message, SubscribedMessage):
            connection.close()
            raise SupervisorError("supervisor: does not speak of what happens")
        return connection

    def _run(self) -> None:
        while not self._closed.is_set():
            connection = self._connection
            if connection is None:
                if not self._again():
                    return
                continue
            try:
                message, _ = connection.receive()
            except (PycomposeError, OSError):
                connection.close()
                self._connection = None
                continue
            if isinstance(message, StartingMessage):
                self._starting(message.starting)
            elif isinstance(message, ContainerMessage):
                self._happened(message.container)

    def _again(self) -> bool:
        """Connect once more; False when there is nothing to be connected to."""
        if self._closed.wait(RECONNECT_S):
            return False
        if self._background and not claims(self._context.paths, self._project):
            self._lost(None)
            return False
        try:
            self._connection = self._connect()
        except NotRunning:
            return True
        except (PycomposeError, OSError) as exc:
            self._lost(exc if isinstance(exc, PycomposeError) else SupervisorError(f"supervisor: {exc}"))
            return False
        self._reconnected()
        return True
