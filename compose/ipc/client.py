"""The command's end of the control socket (protocol.py): connects to a project's supervisor, or starts one."""

from __future__ import annotations

import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pycompose.engine.config import from_json
from pycompose.engine.errors import error_from_json
from pycompose.engine.linux.process import end_process
from pycompose.errors import NotRunning, ProtocolMismatch, SupervisorError
from pycompose.ipc.messages import (
    AssignMessage,
    ErrorMessage,
    ProgressMessage,
    ResultMessage,
    TakenMessage,
    supervisor_message,
    to_message,
)
from pycompose.ipc.protocol import PROTOCOL, receive, send, short_path
from pycompose.ipc.spawn import spawn_supervisor
from pycompose.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink
    from pycompose.ipc.messages import SessionMessage, SupervisorMessage
    from pycompose.ipc.requests import SupervisorRequest

RETIRE_S = 10.0

R = TypeVar("R")


class Connection:
    """The client's end: one operation."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.version = ""
        try:
            hello, _ = receive(sock)
        except ConnectionResetError:
            hello = None
        if hello is None:
            raise NotRunning("supervisor: ended before it answered", hint="try again; see supervisor.log")
        # A HelloMessage, but that of another protocol need not look like ours.
        if hello.get("hello") != PROTOCOL:
            raise ProtocolMismatch(
                f"supervisor: speaks protocol {hello.get('hello')}, this pycompose speaks {PROTOCOL}",
                hint="another version of pycompose started it: `pycompose up -d` replaces it, containers go on",
            )
        self.version = str(hello.get("version"))

    def send(self, request: SupervisorRequest[Any], fds: Sequence[int] = ()) -> None:
        """Ask for something; a supervisor that has gone is a NotRunning."""
        try:
            send(self.socket, request.to_message(), fds)
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise NotRunning("supervisor: ended while we talked to it", hint="run the command again") from exc

    def tell(self, message: SessionMessage, fds: Sequence[int] = ()) -> None:
        """Send something while an operation is under way; raises OSError."""
        send(self.socket, to_message(message), fds)

    def receive(self) -> tuple[SupervisorMessage, list[int]]:
        """Return the next message; the end of the connection is a NotRunning, an error is raised as itself."""
        try:
            received, fds = receive(self.socket)
        except ConnectionResetError:
            received, fds = None, []
        if received is None:
            raise NotRunning("supervisor: ended during the operation", hint="run the command again")
        message = supervisor_message(received)
        if isinstance(message, ErrorMessage):
            raise error_from_json(message.error)
        return message, fds

    def call(self, request: SupervisorRequest[R], sink: Sink, fds: Sequence[int] = ()) -> tuple[R, list[int]]:
        """Send `request`, hand its events to `sink`, return the result; raises what the other side raised."""
        self.send(request, fds)
        while True:
            answer, received = self.receive()
            if isinstance(answer, ProgressMessage):
                sink(answer.event)
            elif isinstance(answer, ResultMessage):
                result: R = from_json(request.result, answer.result)
                return result, received

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(paths: StatePaths, project: str) -> Connection:
    """Return a connection to the project's supervisor; raises NotRunning when there is none."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        with short_path(paths.control_socket(project)) as name:
            sock.connect(name)
        return Connection(sock)
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, NotADirectoryError) as exc:
        sock.close()
        raise NotRunning(f"project {project}: no supervisor is running") from exc
    except BaseException:
        sock.close()
        raise


class StartingSupervisor:
    """A supervisor that has no project yet: it loads its libraries while we still read the compose file."""

    def __init__(self, fd: int) -> None:
        """`fd` is our end of its socket (start.spawn_supervisor)."""
        self._socket = socket.socket(fileno=fd)

    @classmethod
    def spawn(cls, paths: StatePaths) -> StartingSupervisor:
        """Start one; raises SupervisorError."""
        try:
            return cls(spawn_supervisor(paths.to_environment()))
        except OSError as exc:
            raise SupervisorError(f"supervisor: cannot start {sys.executable}: {exc.strerror}") from exc

    def assign(self, project: str, *, keeper: bool) -> Connection | None:
        """Give it its project. None means that the project already has a supervisor: connect to that one."""
        try:
            send(self._socket, to_message(AssignMessage(project=project, keeper=keeper)))
            received, _ = receive(self._socket)
        except (BrokenPipeError, ConnectionResetError):
            received = None
        if received is None:
            raise NotRunning(
                f"project {project}: the supervisor ended while it started", hint="see supervisor.log"
            )
        answer = supervisor_message(received)
        if isinstance(answer, ErrorMessage):
            raise error_from_json(answer.error)
        if isinstance(answer, TakenMessage):
            self._socket.close()
            return None
        return Connection(self._socket)

    def cancel(self) -> None:
        """Send it away; it has not done anything yet."""
        self._socket.close()


def connect_or_start(
    paths: StatePaths, project: str, starting: StartingSupervisor | None = None, *, keeper: bool = False
) -> Connection:
    """Return a connection to the project's supervisor; without one a new one, or the one that is `starting`.

    `keeper` lets a new one start its keeper at once. One that another version of pycompose has started is replaced.
    Raises SupervisorError. Two callers at once end up with the same supervisor: a lock decides (state/ownership.py).
    """
    for _ in range(50):
        try:
            connection = connect(paths, project)
        except NotRunning:
            given, starting = starting, None
            try:
                found = (given or StartingSupervisor.spawn(paths)).assign(project, keeper=keeper)
            except NotRunning:
                if given is None:
                    raise
                continue  # it had time to die
            if found is not None:
                return found
        except ProtocolMismatch:
            retire(paths, project)
        else:
            if connection.version != VERSION:
                connection.close()
                retire(paths, project)
                continue
            if starting is not None:
                starting.cancel()
            return connection
    raise SupervisorError(f"project {project}: supervisors start and end too fast", hint="see supervisor.log")


def retire(paths: StatePaths, project: str) -> None:
    """End the project's supervisor; its containers go on, and the next one takes over. Raises SupervisorError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as sock:
        try:
            with short_path(paths.control_socket(project)) as name:
                sock.connect(name)
        except OSError:
            return  # it has ended
        # Who has called listen(2): unix(7), SO_PEERCRED.
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if not end_process(pid, "pycompose.supervisor", (signal.SIGTERM, signal.SIGKILL), RETIRE_S):
        raise SupervisorError(f"project {project}: cannot end its supervisor, process {pid}")
