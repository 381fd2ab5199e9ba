"""The sockets of containers whose service mounts /var/run/docker.sock: by them they reach the Engine API.

Each such container has one of its own, so that it can be told what it may do. The supervisor listens on it, and the
keeper holds it for the next supervisor; nobody serves it until somebody connects. Then a server is started on it, which
ends some time after its last client, and with the supervisor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.protocol import short_path
from pycompose.policy.sockets import access
from pycompose.state.records import read_service

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from pathlib import Path

    from pycompose.engine.api import Engine
    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.sockets import SocketAccess

log = logging.getLogger(__name__)

BACKLOG = 64
SERVER_FD = 3


def make_place(path: Path) -> None:
    """Make the file that is mounted, on which nobody listens yet. Raises OSError."""
    _bound(path).close()


def _bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    with short_path(path) as name:
        sock.bind(name)
    path.chmod(0o600)
    return sock


class ApiSockets:
    """Those of one project's running containers; used by threads, and by the event loop."""

    def __init__(self, paths: StatePaths, loop: asyncio.AbstractEventLoop) -> None:
        self._paths = paths
        self._loop = loop
        self._lock = threading.Lock()
        self._listeners: dict[str, tuple[socket.socket, SocketAccess]] = {}
        self._servers: dict[str, int] = {}

    def open(self, config: ContainerConfig) -> None:
        """Listen for a container that is about to start, if it has the socket. Raises OSError."""
        granted = self._granted(config)
        if granted is None:
            return
        self._close_listener(config.id)
        sock = _bound(self._paths.api_socket(config.id))
        sock.listen(BACKLOG)
        self._enter(config.id, sock, granted)

    def sockets(self, container_id: str) -> dict[str, list[int]]:
        """Return what the keeper has to hold once the container runs: key → descriptors."""
        with self._lock:
            found = self._listeners.get(container_id)
        return {_key(container_id): [found[0].fileno()]} if found else {}

    def adopt(self, keeper: Engine, configs: Iterable[ContainerConfig]) -> None:
        """Listen again for containers that run since an earlier supervisor. Raises EngineError."""
        wanted = {config.id: granted for config in configs if (granted := self._granted(config)) is not None}
        if not wanted:
            return
        held = frozenset(keeper.held())
        for container_id, granted in wanted.items():
            if _key(container_id) in held:
                (fd,) = keeper.take(_key(container_id))
                self._enter(container_id, socket.socket(fileno=fd), granted)

    def hold(self, keeper: Engine) -> None:
        """Give a new keeper what the old one held. Raises EngineError."""
        with self._lock:
            ids = list(self._listeners)
        for container_id in ids:
            for key, fds in self.sockets(container_id).items():
                keeper.hold(key, fds)

    def close(self, keeper: Engine | None, container_ids: Iterable[str]) -> None:
        """Serve containers that have ended no more."""
        for container_id in container_ids:
            if self._close_listener(container_id) and keeper is not None:
                with contextlib.suppress(PycomposeError):
                    keeper.drop(_key(container_id))

    def _granted(self, config: ContainerConfig) -> SocketAccess | None:
        """Return what a container may do with the socket, None for one that doesn't have it."""
        place = os.fspath(self._paths.api_socket(config.id))
        for mount in config.mounts:
            if mount.source == place:
                service = read_service(self._paths, config.id).service
                return access(service.extensions, config.project, read_only=mount.read_only)
        return None

    def _enter(self, container_id: str, sock: socket.socket, granted: SocketAccess) -> None:
        sock.setblocking(False)
        with self._lock:
            self._listeners[container_id] = (sock, granted)
        self._loop.call_soon_threadsafe(self._watch, container_id)

    def _close_listener(self, container_id: str) -> bool:
        with self._lock:
            found = self._listeners.pop(container_id, None)
            pidfd = self._servers.get(container_id)
            if pidfd is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if found is None:
            return False
        self._loop.call_soon_threadsafe(self._let_go, found[0])
        return True

    def _let_go(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        sock.close()

    # ------------------------------------------------------------------ in the event loop

    def _watch(self, container_id: str) -> None:
        with self._lock:
            found = self._listeners.get(container_id)
        if found is not None:
            self._loop.add_reader(found[0], self._wanted, container_id)

    def _wanted(self, container_id: str) -> None:
        """Start a server for who has connected; until it has ended, it is the one who listens."""
        with self._lock:
            found = self._listeners.get(container_id)
            if found is None:
                return
            sock, granted = found
            self._loop.remove_reader(sock)
            try:
                pid = self._spawn(sock, granted)
                pidfd = self._servers[container_id] = os.pidfd_open(pid)
            except OSError as exc:
                log.warning("container %s: cannot serve its docker.sock: %s", container_id[:12], exc)
                return
        self._loop.add_reader(pidfd, self._ended, container_id, pid, pidfd)

    def _spawn(self, sock: socket.socket, granted: SocketAccess) -> int:
        module = [sys.executable, "-I", "-X", "utf8", "-m", "pycompose.api", str(SERVER_FD)]
        return os.posix_spawn(
            sys.executable,
            [*module, granted.to_text()],
            {**os.environ, **self._paths.to_environment()},
            file_actions=[(os.POSIX_SPAWN_DUP2, sock.fileno(), SERVER_FD)],
            setsid=True,
        )

    def _ended(self, container_id: str, pid: int, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        with self._lock:
            os.close(pidfd)
            if self._servers.get(container_id) == pidfd:
                del self._servers[container_id]
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        self._watch(container_id)


def _key(container_id: str) -> str:
    return f"api/{container_id}"
