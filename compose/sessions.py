"""Use cases that connect a person to a process: `exec`, `run`, `attach`."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pycompose.control import connect_or_start, send
from pycompose.engine.config import plain
from pycompose.engine.errors import NoSuchContainer
from pycompose.graph import select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.app import Context
    from pycompose.config.load import Loaded
    from pycompose.control import Connection, Message
    from pycompose.model import Service
    from pycompose.options import AttachOptions, ExecOptions, RunOptions


@dataclass(slots=True)
class Session:
    """A process somewhere else and our ends of its streams; None is a stream that isn't there.

    `stdin` is written, `stdout` and `stderr` are read; `terminal` is a pty master and takes the place of all three.
    """

    connection: Connection
    container: str = ""
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    terminal: int | None = None
    detached: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size, in characters."""
        self._tell({"resize": [rows, columns]})

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._tell({"signal": int(number)})

    def _tell(self, message: Message) -> None:
        with self._lock, contextlib.suppress(OSError):
            send(self.connection.socket, message)

    def wait(self) -> int:
        """Return the exit code when the process has ended; raises SupervisorError when nobody can tell any more."""
        if self.detached:
            return 0
        while True:
            message, _ = self.connection.receive()
            if "exit" in message:
                return int(message["exit"])

    def close(self) -> None:
        """Let go of everything; the process goes on."""
        for name in ("stdin", "stdout", "stderr", "terminal"):
            fd = getattr(self, name)
            setattr(self, name, None)
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)
        self.connection.close()


class _Pipes:
    """Three pipes: the far ends go to the process, the near ends to the session."""

    def __init__(self, *, stdin: bool) -> None:
        self.far: list[int | None] = []
        self.near: list[int | None] = []
        for reading_far in (True, False, False):
            if reading_far and not stdin:
                self.far.append(None)
                self.near.append(None)
                continue
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self.far.append(reading if reading_far else writing)
            self.near.append(writing if reading_far else reading)

    def close_far(self) -> None:
        for fd in self.far:
            if fd is not None:
                os.close(fd)
        self.far = []

    def close(self) -> None:
        self.close_far()
        for fd in self.near:
            if fd is not None:
                os.close(fd)


def _environment(context: Context, entries: Iterable[str]) -> dict[str, str | None]:
    """Return "KEY=value" and bare "KEY" (from the caller's environment, else left out) as a mapping."""
    found: dict[str, str | None] = {}
    for entry in entries:
        key, separator, value = entry.partition("=")
        if separator:
            found[key] = value
        elif key in context.environment:
            found[key] = context.environment[key]
    return found


def exec_(context: Context, project_name: str, options: ExecOptions) -> Session:
    """Start a command in a running container; raises NoSuchContainer, StateError, ExecError."""
    from pycompose.observe import claims  # noqa: PLC0415 - a look before a supervisor is started for nothing

    if not claims(context.paths, project_name):
        raise NoSuchContainer(
            f'service "{options.service}" is not running', hint="start the project with `pycompose up -d`"
        )
    connection = connect_or_start(context.paths, project_name)
    piped = not options.tty and not options.detach
    pipes = _Pipes(stdin=options.interactive) if piped else None
    message = {
        "op": "exec",
        "service": options.service,
        "index": options.index,
        "args": list(options.command),
        "user": options.user,
        "cwd": options.workdir,
        "env": _environment(context, options.env) | ({"TERM": "xterm"} if options.tty else {}),
        "privileged": options.privileged,
        "tty": options.tty and not options.detach,
        "detach": options.detach,
        "rows": options.rows,
        "columns": options.columns,
        "fds": [fd is not None for fd in pipes.far] if pipes else [False, False, False],
    }
    try:
        fds = [fd for fd in pipes.far if fd is not None] if pipes else []
        result, received = connection.call(message, context.sink, fds)
    except BaseException:
        if pipes:
            pipes.close()
        connection.close()
        raise
    session = Session(connection, container=str(result["container"]), detached=options.detach)
    if pipes:
        pipes.close_far()
        session.stdin, session.stdout, session.stderr = pipes.near
    if received:
        session.terminal = received[0]
    return session


def attach(context: Context, project_name: str, options: AttachOptions) -> Session:
    """Connect to process 1 of a running container; its output comes from its log, from now on."""
    connection = connect_or_start(context.paths, project_name)
    message = {"op": "attach", "service": options.service, "index": options.index}
    try:
        result, received = connection.call(message, context.sink)
    except BaseException:
        connection.close()
        raise
    return _attached(connection, result, received, stdin=options.stdin)


def _attached(connection: Connection, result: dict[str, Any], received: list[int], *, stdin: bool) -> Session:
    session = Session(connection, container=str(result["container"]))
    if result["terminal"] and received:
        session.terminal = received.pop(0)
    if result["stdin"] and received:
        session.stdin = received.pop(0)
        if not stdin:
            os.close(session.stdin)
            session.stdin = None
    return session


def run(context: Context, loaded: Loaded, options: RunOptions) -> Session:
    """Start a one-off container of a service, its dependencies first; raises as `up` does."""
    from pycompose import app  # noqa: PLC0415 - app offers this function

    project = app.enabled(loaded.project, [options.service])
    service = oneoff_service(context, project.services[options.service], options)
    if service.depends_on and not options.no_deps:
        needs = select(project.services, [options.service])[:-1]
        from pycompose.options import UpOptions  # noqa: PLC0415

        app.up(context, loaded, UpOptions(services=tuple(needs), no_recreate=True, ignore_orphans=True))
    project = replace(project, services={**project.services, service.name: service})
    images = app.find_images(context, project, [service.name], options)
    message = {
        "op": "run",
        "project": plain(project),
        "service": service.name,
        "images": {key: plain(image) for key, image in images.items()},
        "name": options.name or f"{project.name}-{service.name}-run-{secrets.token_hex(6)}",
        "remove": options.remove,
        "publish": options.service_ports or bool(options.publish),
        "detach": options.detach,
    }
    connection = connect_or_start(context.paths, project.name)
    try:
        result, received = connection.call(message, context.sink)
    except BaseException:
        connection.close()
        raise
    session = _attached(connection, result, received, stdin=options.interactive)
    session.detached = options.detach
    return session


def oneoff_service(context: Context, service: Service, options: RunOptions) -> Service:
    """Return the service as `run` changes it: command, environment, user, no restarts, no fixed name."""
    environment = {**service.environment, **_environment(context, options.env)}
    changes: dict[str, Any] = {
        "environment": environment,
        "container_name": "",
        "replicas": 1,
        "tty": options.tty,
        "stdin_open": options.interactive,
        "cap_add": (*service.cap_add, *options.cap_add),
        "cap_drop": (*service.cap_drop, *options.cap_drop),
    }
    if options.command:
        changes["command"] = options.command
    if options.entrypoint is not None:
        changes["entrypoint"] = options.entrypoint
        changes.setdefault("command", ())
    if options.user:
        changes["user"] = options.user
    if options.workdir:
        changes["working_dir"] = options.workdir
    if not options.service_ports:
        changes["ports"] = ()
    labels = dict(entry.partition("=")[::2] for entry in options.labels)
    changes["labels"] = {**service.labels, **labels}
    return replace(service, **changes)
