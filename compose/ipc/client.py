"""The control socket between the command line and a project's supervisor: both ends of the protocol.

A path socket (SOCK_SEQPACKET) in the project's 0700 directory; the server checks the peer's uid (SO_PEERCRED). One
packet is one JSON object; what doesn't fit into a packet travels in a memfd beside it. One connection carries one
operation:

    client                        supervisor
                           <--    {"hello": PROTOCOL, "pid": …, "version": …}
    {"op": "apply", …}     -->
                           <--    {"event": {…}}            any number
                           <--    {"result": {…}}  or  {"error": {…}}
    {"resize": [24, 80]}   -->    (sessions only: resize, signal)
                           <--    {"exit": 0}

A client that goes away cancels its operation, except those that say otherwise (supervisor.py).
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from pycompose.engine.errors import PycomposeError, error_from_json
from pycompose.engine.linux.process import end_process
from pycompose.entry import spawn_supervisor
from pycompose.errors import NotRunning, ProtocolMismatch, SupervisorError
from pycompose.events import Event
from pycompose.version import VERSION

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.events import Sink

PROTOCOL = 1
RETIRE_S = 10.0
PACKET_BYTES = 60_000
MAX_FDS = 8
MAX_PAYLOAD_BYTES = 256 * 1024 * 1024

Message = dict[str, Any]


def encode(message: Message) -> tuple[bytes, list[int]]:
    """Return the packet of `message` and, when it is too long for one, the memfd that holds it (to be closed)."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) <= PACKET_BYTES:
        return data, []
    fd = os.memfd_create("pycompose-message", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return b'{"memfd":true}', [fd]


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message with descriptors; raises OSError (BlockingIOError on a full non-blocking socket)."""
    data, extra = encode(message)
    try:
        rights = [*extra, *fds]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else []
        sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
    finally:
        for fd in extra:
            os.close(fd)


def receive(sock: socket.socket) -> tuple[Message | None, list[int]]:
    """Return the next message and its descriptors, (None, []) at the end; raises SupervisorError on nonsense."""
    data, ancillary, flags, _ = sock.recvmsg(
        PACKET_BYTES + 4096, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
            fds += received
    if not data:
        return None, fds
    try:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("truncated packet")
        message = json.loads(data)
        if message.get("memfd"):
            with open(fds.pop(0), "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_PAYLOAD_BYTES:
                    raise ValueError("payload too large")
                file.seek(0)
                message = json.loads(file.read())
    except (ValueError, IndexError, AttributeError) as exc:
        for fd in fds:
            os.close(fd)
        raise SupervisorError(f"control socket: cannot understand the other side: {exc}") from exc
    return message, fds


@contextlib.contextmanager
def short_path(path: Path) -> Any:
    """Yield a name of `path` that fits into sun_path (108 bytes, unix(7)) however long the path is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


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
        if hello.get("hello") != PROTOCOL:
            raise ProtocolMismatch(
                f"supervisor: speaks protocol {hello.get('hello')}, this pycompose speaks {PROTOCOL}",
                hint="another version of pycompose started it: `pycompose up -d` replaces it, containers go on",
            )
        self.version = str(hello.get("version"))

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send one message; a supervisor that has gone is a NotRunning."""
        try:
            send(self.socket, message, fds)
        except (BrokenPipeError, ConnectionResetError) as exc:
            raise NotRunning("supervisor: ended while we talked to it", hint="run the command again") from exc

    def receive(self) -> tuple[Message, list[int]]:
        """Return the next message; the end of the connection is a NotRunning, an error is raised as itself."""
        try:
            message, fds = receive(self.socket)
        except ConnectionResetError:
            message, fds = None, []
        if message is None:
            raise NotRunning("supervisor: ended during the operation", hint="run the command again")
        if "error" in message:
            raise error_from_json(message["error"])
        return message, fds

    def call(self, message: Message, sink: Sink, fds: Sequence[int] = ()) -> tuple[Message, list[int]]:
        """Send `message`, hand its events to `sink`, return the result; raises what the other side raised."""
        self.send(message, fds)
        while True:
            answer, received = self.receive()
            if "event" in answer:
                sink(Event.from_json(answer["event"]))
            elif "result" in answer:
                return dict(answer["result"]), received

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


class Launch:
    """A supervisor process on its way: it loads its libraries while we still read the compose file."""

    def __init__(self, fd: int) -> None:
        """`fd` is our end of its socket (start.spawn_supervisor)."""
        self._socket = socket.socket(fileno=fd)

    @classmethod
    def now(cls, paths: StatePaths) -> Launch:
        """Start one; raises SupervisorError."""
        try:
            return cls(spawn_supervisor(paths.to_environment()))
        except OSError as exc:
            raise SupervisorError(f"supervisor: cannot start {sys.executable}: {exc.strerror}") from exc

    def assign(self, project: str, *, keeper: bool) -> Connection | None:
        """Give it its project. None means that the project already has a supervisor: connect to that one."""
        try:
            send(self._socket, {"project": project, "keeper": keeper})
            answer, _ = receive(self._socket)
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        if answer is None:
            raise NotRunning(
                f"project {project}: the supervisor ended while it started", hint="see supervisor.log"
            )
        if "error" in answer:
            raise error_from_json(answer["error"])
        if answer.get("taken"):
            self._socket.close()
            return None
        return Connection(self._socket)

    def cancel(self) -> None:
        """Send it away; it has not done anything yet."""
        self._socket.close()


def connect_or_start(
    paths: StatePaths, project: str, launch: Launch | None = None, *, keeper: bool = False
) -> Connection:
    """Return a connection to the project's supervisor, starting one (or using `launch`) when there is none.

    `keeper` lets a new one start its keeper at once. One that another version of pycompose has started is replaced.
    Raises SupervisorError. Two callers at once end up with the same supervisor: a lock decides (supervisor.py).
    """
    for _ in range(50):
        try:
            connection = connect(paths, project)
        except NotRunning:
            found = (launch or Launch.now(paths)).assign(project, keeper=keeper)
            launch = None
            if found is not None:
                return found
        except ProtocolMismatch:
            retire(paths, project)
        else:
            if connection.version != VERSION:
                connection.close()
                retire(paths, project)
                continue
            if launch is not None:
                launch.cancel()
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


class Peer:
    """The supervisor's end of one connection, driven by its event loop."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Peer, Message, list[int]], None],
        on_close: Callable[[Peer], None],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = loop
        self._on_message = on_message
        self._on_close = on_close
        self._queue: deque[tuple[Message, list[int]]] = deque()
        self.closed = False
        loop.add_reader(sock, self._readable)

    def uid(self) -> int:
        """User id of the process at the other end (unix(7) SO_PEERCRED)."""
        _, uid, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now or queue. The descriptors are closed once they are sent."""
        if self.closed:
            for fd in fds:
                os.close(fd)
            return
        self._queue.append((message, list(fds)))
        self._flush()

    def fail(self, error: PycomposeError) -> None:
        """Send an error as the end of the operation."""
        self.send({"error": error.to_json()})

    def close(self) -> None:
        """Hang up; queued messages are dropped."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        for _, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue.clear()
        self._socket.close()
        self._on_close(self)

    def _flush(self) -> None:
        while self._queue:
            message, fds = self._queue[0]
            try:
                send(self._socket, message, fds)
            except BlockingIOError:
                self._loop.add_writer(self._socket, self._flush)
                return
            except OSError:
                self.close()
                return
            self._queue.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            message, fds = receive(self._socket)
        except BlockingIOError:
            return
        except (OSError, SupervisorError):
            self.close()
            return
        if message is None:
            self.close()
        else:
            self._on_message(self, message, fds)
