"""Use cases that connect a person to a process: `exec`, `run`, `attach`."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from pycompose.client.kept_networks import restore_all
from pycompose.client.selection import enabled
from pycompose.client.supervisor import reach
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import ChildError, NoSuchContainer
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase
from pycompose.ipc.client import connect_or_start
from pycompose.ipc.messages import ExitMessage, JoinedMessage, LeaveMessage, ResizeMessage, SignalMessage
from pycompose.ipc.requests import AttachRequest, ExecRequest, LaunchRequest, RejoinRequest, RunRequest
from pycompose.policy.graph import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.client.context import Context
    from pycompose.client.options import AttachOptions, ExecOptions, RunOptions
    from pycompose.config.load import Loaded
    from pycompose.engine.paths import StatePaths
    from pycompose.ipc.client import Connection
    from pycompose.ipc.messages import SessionMessage, SessionResult
    from pycompose.ipc.requests import SupervisorRequest

R = TypeVar("R")
# As the engine of Docker: the process was made, and its user or its directory is none of the container.
NOT_EXECUTED = 126


@dataclass(slots=True)
class Session:
    """A process somewhere else and our ends of its streams; None is a stream that isn't there.

    `stdin` is written, `stdout` and `stderr` are read. `terminal` is a pty master, to be written to, and to be read
    where there is no `stdout`. With `ends` the streams end when everything has come; without, other processes may
    hold them open after the end of ours. `pid` is the machine's number of a command that was executed. `on_joined` is
    called by `wait` when a container that didn't run has started, and its input and terminal have come.
    """

    connection: Connection
    paths: StatePaths
    project: str
    container: str = ""
    name: str = ""
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    terminal: int | None = None
    tty: bool = False
    ends: bool = False
    detached: bool = False
    pid: int = 0
    on_joined: Callable[[], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size, in characters."""
        self._tell(ResizeMessage(resize=(rows, columns)))

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._tell(SignalMessage(signal=int(number)))

    def leave(self) -> None:
        """Let the process go on without us. The terminal of an `exec` goes to the supervisor, others have theirs."""
        if self.terminal is not None and not self.ends:
            with self._lock, contextlib.suppress(OSError):
                self.connection.tell(LeaveMessage(), [self.terminal])

    def _tell(self, message: SessionMessage) -> None:
        with self._lock, contextlib.suppress(OSError):
            self.connection.tell(message)

    def wait(self) -> int:
        """Return the exit code when the process has ended; raises SupervisorError when nobody can tell any more."""
        if self.detached:
            return 0
        try:
            return self._wait()
        except NotRunning:
            if not self.ends:
                raise
        # The supervisor has died, the container has not: the next one knows it too.
        with self._lock:
            self.connection.close()
            self.connection = connect_or_start(self.paths, self.project)
            self.connection.send(RejoinRequest(container=self.container))
        return self._wait()

    def _wait(self) -> int:
        while True:
            message, received = self.connection.receive()
            if isinstance(message, ExitMessage):
                return message.exit
            if isinstance(message, JoinedMessage):
                for name in message.joined:
                    setattr(self, name, received.pop(0))
                if self.on_joined is not None:
                    self.on_joined()

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
    """Up to three pipes: the far ends go to the process, the near ends to the session."""

    def __init__(self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> None:
        self.far: list[int | None] = []
        self.near: list[int | None] = []
        for wanted, reading_far in ((stdin, True), (stdout, False), (stderr, False)):
            if not wanted:
                self.far.append(None)
                self.near.append(None)
                continue
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self.far.append(reading if reading_far else writing)
            self.near.append(writing if reading_far else reading)

    @property
    def there(self) -> tuple[bool, ...]:
        """Which of the three there are, for the request that the far ends travel with."""
        return tuple(fd is not None for fd in self.far)

    def call(
        self, connection: Connection, request: SupervisorRequest[R], context: Context
    ) -> tuple[R, list[int]]:
        """Perform an operation that gets the far ends, which are closed here then; all is, if it fails."""
        try:
            answer = connection.call(request, context.sink, [fd for fd in self.far if fd is not None])
        except BaseException:
            self._close(self.near)
            connection.close()
            raise
        finally:
            self._close(self.far)
        return answer

    @staticmethod
    def _close(fds: list[int | None]) -> None:
        for fd in fds:
            if fd is not None:
                os.close(fd)


def exec_(context: Context, project_name: str, options: ExecOptions) -> Session:
    """Start a command in a running container; raises NoSuchContainer, StateError, ExecError."""
    from pycompose.client.oneoff import given  # noqa: PLC0415 - not needed by `attach`

    connection = _reach(context, project_name, options.service)
    piped = not (options.tty or options.detach or options.silent)
    pipes = _Pipes(stdin=options.interactive and piped, stdout=piped, stderr=piped)
    request = ExecRequest(
        id=options.container,
        service=options.service,
        index=options.index,
        args=options.command,
        user=options.user,
        cwd=options.workdir,
        env={**({"TERM": "xterm"} if options.tty else {}), **given(options.env, context.environment)},
        privileged=options.privileged,
        tty=options.tty and not options.detach and not options.silent,
        detach=options.detach,
        rows=options.rows,
        columns=options.columns,
        fds=pipes.there,
    )
    try:
        result, received = pipes.call(connection, request, context)
    except ChildError as exc:
        exc.exit_code = NOT_EXECUTED
        raise
    session = Session(connection, context.paths, project_name, container=result.container)
    session.detached = options.detach
    session.pid = result.pid
    session.stdin, session.stdout, session.stderr = pipes.near
    if received:
        session.terminal = received[0]
        session.tty = True
    return session


def _reach(context: Context, project_name: str, service: str) -> Connection:
    """Return a connection to the supervisor of a project that has containers; raises NoSuchContainer."""
    from pycompose.state.snapshot import claims  # noqa: PLC0415 - a look before a supervisor is started for nothing

    if not claims(context.paths, project_name):
        raise NoSuchContainer(
            f'service "{service}" is not running', hint="start the project with `pycompose up -d`"
        )
    return connect_or_start(context.paths, project_name)


def attach(context: Context, project_name: str, options: AttachOptions) -> Session:
    """Connect to process 1 of a running container: its output from now on, its input. Raises as `exec_`."""
    connection = _reach(context, project_name, options.service)
    pipes = _Pipes()
    request = AttachRequest(
        id=options.container,
        service=options.service,
        index=options.index,
        waits=options.waits,
        stdin=options.stdin,
        fds=pipes.there,
    )
    result, received = pipes.call(connection, request, context)
    session = Session(connection, context.paths, project_name)
    return _attached(session, pipes, result, received, stdin=options.stdin)


def launch(context: Context, project_name: str, options: AttachOptions) -> Session:
    """Start a container that exists, unless it runs, and connect to its process 1. Raises as `exec_`."""
    restore_all(context.paths)
    connection = connect_or_start(context.paths, project_name)
    pipes = _Pipes()
    request = LaunchRequest(
        id=options.container,
        stdin=options.stdin,
        rows=options.rows,
        columns=options.columns,
        fds=pipes.there,
    )
    result, received = pipes.call(connection, request, context)
    session = Session(connection, context.paths, project_name)
    return _attached(session, pipes, result, received, stdin=options.stdin)


def _attached(
    session: Session, pipes: _Pipes, result: SessionResult, received: list[int], *, stdin: bool
) -> Session:
    session.container, session.name = result.container, result.name
    session.tty, session.ends = result.tty, True
    _, session.stdout, session.stderr = pipes.near
    for name in result.streams:
        setattr(session, name, received.pop(0))
    if not stdin and session.stdin is not None:
        os.close(session.stdin)
        session.stdin = None
    return session


def run(context: Context, loaded: Loaded, options: RunOptions) -> Session | None:
    """Start a one-off container of a service, its dependencies first; raises as `up` does.

    With `dry_run` only the steps are told, and there is no session.
    """
    from pycompose.client.oneoff import oneoff  # noqa: PLC0415 - not for exec and attach
    from pycompose.client.ready_images import ready_images  # noqa: PLC0415 - as below

    project = oneoff(enabled(loaded.runnable, [options.service]), options, context.environment)
    service = project.services[options.service]
    name = options.name or project.joined(service.name, "run", os.urandom(6).hex())
    needs = [] if options.no_deps else select(project.services, [service.name])[:-1]
    _start_dependencies(context, loaded, options, needs)
    if options.dry_run:
        for text, phase in (("Creating", Phase.WORKING), ("Created", Phase.DONE)):
            context.sink(Event(subject=f"Container {name}", text=text, phase=phase))
        return None
    restore_all(context.paths)
    images = ready_images(context, project, [service.name], options)
    request = RunRequest(
        project=project,
        images=images,
        service=service.name,
        name=name,
        dependencies=() if options.no_deps else tuple(d for d in service.depends_on if d.service in needs),
        remove=options.remove,
        detach=options.detach,
        warn_of_orphans=not (needs or options.remove_orphans or options.ignore_orphans),
        rows=options.rows,
        columns=options.columns,
    )
    return start_oneoff(context, request, stdin=options.interactive)


def start_oneoff(
    context: Context, request: RunRequest, *, outputs: Iterable[str] = ("stdout", "stderr"), stdin: bool
) -> Session:
    """Have the supervisor make and start a container; the session gets these outputs unless it is detached."""
    shown = () if request.detach else tuple(outputs)
    pipes = _Pipes(stdout="stdout" in shown, stderr="stderr" in shown)
    project = request.project.name
    connection = reach(context, project)
    result, received = pipes.call(connection, replace(request, fds=pipes.there), context)
    session = Session(connection, context.paths, project, detached=request.detach)
    return _attached(session, pipes, result, received, stdin=stdin)


def _start_dependencies(context: Context, loaded: Loaded, options: RunOptions, needs: list[str]) -> None:
    """Bring up what the service needs, and remove orphans if that is asked for."""
    from pycompose.client import changes  # noqa: PLC0415 - for services that depend on others
    from pycompose.client.options import UpOptions  # noqa: PLC0415 - as above

    shared = {
        name: getattr(options, name)
        for name in (
            "build", "no_build", "pull", "quiet_pull", "quiet_build", "remove_orphans", "ignore_orphans", "dry_run",
            "parallel",
        )
    }  # fmt: skip
    if needs:
        changes.up(context, loaded, UpOptions(services=tuple(needs), **shared))
    elif options.remove_orphans:
        changes.remove_orphans(context, loaded, dry_run=options.dry_run, parallel=options.parallel)
