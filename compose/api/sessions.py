"""What connects a client to a process: exec, attach, and waiting for an end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from pycompose.api import query
from pycompose.api.container_output import batches, encoded, framed, output_type
from pycompose.api.errors import ApiError
from pycompose.api.execs import ExecInstance
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, Wire, answer, done, dumps
from pycompose.api.pump import Pump
from pycompose.api.shapes import EXEC_CREATE, EXEC_START, checked
from pycompose.api.websocket import BINARY, TEXT, WebSocketWire, handshake
from pycompose.client import sessions
from pycompose.client.options import AttachOptions, ExecOptions
from pycompose.client.query_options import LogsOptions
from pycompose.engine.errors import ExecError, NoSuchContainer, PycomposeError, StateError
from pycompose.engine.logs.writer import is_kept
from pycompose.engine.state import Status
from pycompose.events import ContainerEvent
from pycompose.machine import containers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from pycompose.api.hub import Happening
    from pycompose.client.sessions import Session
    from pycompose.policy.observed import ObservedContainer

_STREAMS = ("stdin", "stdout", "stderr")
_CONDITIONS = frozenset({"", "not-running", "next-exit", "removed"})

# ---------------------------------------------------------------------- exec


def exec_create(call: ApiCall) -> ApiAnswer:
    """POST /containers/NAME/exec."""
    body = checked(call.document(), EXEC_CREATE)
    container = containers.find(call.context, call.names[0])
    if container.state.status is Status.PAUSED:
        raise StateError(f"Container {call.names[0]} is paused, unpause the container before exec")
    if container.state.status is not Status.RUNNING:
        raise StateError(f"container {container.id} is not running")
    if call.scope and body.get("Privileged"):
        raise ApiError(403, "x-socket of this service: projects: own: nobody leaves a container by it")
    args = body.get("Cmd") or []
    if not args:
        raise ApiError(400, "No exec command specified")
    instance = ExecInstance(
        id=call.services.execs.new_id(),
        container=container.id,
        project=container.config.project,
        service=container.service,
        args=tuple(map(str, args)),
        user=body.get("User") or "",
        cwd=body.get("WorkingDir") or "",
        env=tuple(body.get("Env") or ()),
        privileged=bool(body.get("Privileged")),
        tty=bool(body.get("Tty")),
        stdin=bool(body.get("AttachStdin")),
        outputs=tuple(name for name in ("stdout", "stderr") if body.get(f"Attach{name.capitalize()}")),
        detach_keys=query.detach_keys(body.get("DetachKeys") or ""),
        size=_console(body),
    )
    call.services.execs.add(instance)
    return answer({"Id": instance.id}, 201)


def exec_start(call: ApiCall) -> ApiAnswer:
    """POST /exec/ID/start: with its streams on this connection, or in the background."""
    body = checked(call.document(), EXEC_START)
    console = _console(body)
    execs = call.services.execs
    instance = execs.begin(call.names[0])
    detach = bool(body.get("Detach"))
    tty = instance.tty
    if body.get("ConsoleSize"):
        instance.size = console
    options = ExecOptions(
        service=instance.service,
        container=instance.container,
        command=instance.args,
        silent=detach,
        env=instance.env,
        privileged=instance.privileged,
        tty=tty,
        interactive=instance.stdin,
        user=instance.user,
        workdir=instance.cwd,
        rows=instance.size[0],
        columns=instance.size[1],
    )

    def ended(code: int | None) -> None:
        instance.exit_code = code if code is not None else -1
        instance.session = None

    def begin() -> Session:
        try:
            session = sessions.exec_(call.context, instance.project, options)
        except ExecError as exc:
            ended(exc.exit_code)
            raise ApiError(400, exc.message) from exc
        except PycomposeError:
            ended(126)
            raise
        instance.session, instance.pid = session, session.pid
        return session

    if detach:
        session = begin()
        threading.Thread(target=_await_end, args=(session, ended), name="api-exec", daemon=True).start()
        return done(200)

    async def talk(wire: Wire) -> None:
        # After the head of the answer, as in moby (postContainerExecStart): docker-py loses what comes along with it.
        try:
            session = await asyncio.to_thread(begin)
        except PycomposeError as exc:
            text = f"{exc.message}\r\n".encode()
            with contextlib.suppress(OSError):
                await wire.write(text if tty else framed("stdout", text))
            return
        await Pump(session, wire, ended, shown=frozenset(instance.outputs), multiplexed=not tty).run()

    return ApiAnswer(headers=(("Content-Type", output_type(tty=tty, version=call.version)),), talk=talk)


def _await_end(session: Session, ended: Callable[[int | None], None]) -> None:
    """Wait for the end of a command that nobody listens to."""
    code = None
    with contextlib.suppress(PycomposeError, OSError):
        code = session.wait()
    session.close()
    ended(code)


def exec_inspect(call: ApiCall) -> ApiAnswer:
    """GET /exec/ID/json."""
    found = call.services.execs.find(call.names[0])
    return answer(
        {
            "ID": found.id,
            "Running": found.running,
            "ExitCode": found.exit_code,
            "ProcessConfig": {
                "tty": found.tty,
                "entrypoint": found.args[0],
                "arguments": list(found.args[1:]),
                "privileged": found.privileged,
                **({"user": found.user} if found.user else {}),
            },
            "OpenStdin": found.stdin,
            "OpenStderr": "stderr" in found.outputs,
            "OpenStdout": "stdout" in found.outputs,
            "CanRemove": found.exit_code is not None,
            "ContainerID": found.container,
            "DetachKeys": found.detach_keys,
            "Pid": found.pid,
        }
    )


def exec_resize(call: ApiCall) -> ApiAnswer:
    """POST /exec/ID/resize."""
    instance = call.services.execs.find(call.names[0])
    rows, columns = _size(call)
    instance.size = (rows, columns)
    if instance.session is not None:
        instance.session.resize(rows, columns)
    return done(200)


def _console(body: dict[str, Any]) -> tuple[int, int]:
    """Return the rows and columns of ConsoleSize; what it lacks is 0, as of an array of Go. Raises ApiError."""
    rows, columns = [*(size or 0 for size in body.get("ConsoleSize") or ()), 0, 0][:2]
    if min(rows, columns) < 0:
        raise ApiError(400, "invalid JSON: ConsoleSize: below zero")
    return rows, columns


def _size(call: ApiCall) -> tuple[int, int]:
    rows, columns = query.number(call, "h"), query.number(call, "w")
    if rows is None or columns is None or min(rows, columns) < 0:
        raise ApiError(400, "h and w are rows and columns of a terminal")
    return rows, columns


# ---------------------------------------------------------------------- attach


def attach(call: ApiCall) -> ApiAnswer:
    """POST /containers/NAME/attach: from now on, or from its start; with `logs=1` what was said before, too."""
    wants = frozenset(name for name in _STREAMS if query.flag(call, name))
    if not (query.flag(call, "stream") or query.flag(call, "logs")):
        raise ApiError(400, "Either the stream or logs query parameters must be true")
    container, joined = _attached(call, wants)
    tty = container.config.process.tty

    async def talk(wire: Wire) -> None:
        await joined(wire, multiplexed=not tty)

    kind = output_type(tty=tty, version=call.version)
    during = functools.partial(call.services.followers.following, container.id)
    return ApiAnswer(headers=(("Content-Type", kind),), talk=talk, during=during)


def attach_websocket(call: ApiCall) -> ApiAnswer:
    """GET /containers/NAME/attach/ws: the same by WebSocket, both outputs as one (moby wsContainersAttach)."""
    accepted = handshake(call)
    wants = frozenset(name for name in _STREAMS if call.version < (1, 42) or query.flag(call, name))
    container, joined = _attached(call, wants)
    kind = TEXT if call.version < (1, 28) else BINARY

    async def talk(wire: Wire) -> None:
        inner = WebSocketWire(wire, kind)
        await joined(inner, multiplexed=False)
        with contextlib.suppress(OSError):
            await inner.close()

    during = functools.partial(call.services.followers.following, container.id)
    return ApiAnswer(headers=accepted, talk=talk, during=during)


def _attached(
    call: ApiCall, wants: frozenset[str]
) -> tuple[ObservedContainer, Callable[..., Awaitable[None]]]:
    """Attach to a container; return it, and what joins it to a wire."""
    began_ns = time.time_ns()
    query.detach_keys(query.text(call, "detachKeys"))
    container = containers.find(call.context, call.names[0])
    running = container.state.status is Status.RUNNING
    session = None
    if query.flag(call, "stream"):
        options = AttachOptions(
            service=container.service, container=container.id, stdin="stdin" in wants, waits=not running
        )
        session = sessions.attach(call.context, container.config.project, options)
        call.services.attached.enter(container.id, session)

    def ended(_code: int | None) -> None:
        if session is not None:
            call.services.attached.leave(container.id, session)

    async def joined(wire: Wire, *, multiplexed: bool) -> None:
        if query.flag(call, "logs") and is_kept(container.config.log):
            said = containers.logs(call.context, container.id, LogsOptions(until_ns=began_ns))
            pieces = batches(encoded(said, wants, multiplexed=multiplexed))
            with contextlib.suppress(OSError):  # a client that has gone, as the pump sees then
                while piece := await asyncio.to_thread(next, pieces, b""):
                    await wire.write(piece)
        if session is not None:
            pump = Pump(session, wire, ended, shown=wants, multiplexed=multiplexed, waits=not running)
            await pump.run()

    return container, joined


def resize(call: ApiCall) -> ApiAnswer:
    """POST /containers/NAME/resize: of the terminal, which whoever is attached to it can do."""
    container = containers.find(call.context, call.names[0])
    rows, columns = _size(call)
    found = call.services.attached.of(container.id)
    if found is not None:
        found.resize(rows, columns)
    elif not container.running:
        raise StateError(f"container {container.id} is not running")
    elif container.config.process.tty:
        options = AttachOptions(service=container.service, container=container.id, stdin=False)
        session = sessions.attach(call.context, container.config.project, options)
        session.resize(rows, columns)
        session.close()
    return done(200)


# ---------------------------------------------------------------------- wait


def wait(call: ApiCall) -> ApiAnswer:
    """POST /containers/NAME/wait: the head of the answer tells that it is waited for (moby postContainersWait)."""
    condition = query.text(call, "condition")
    if condition not in _CONDITIONS:
        raise ApiError(400, f'invalid condition: "{condition}"')
    container = containers.find(call.context, call.names[0])

    async def flow() -> AsyncGenerator[bytes, None]:
        async with call.services.events.listen() as queue:
            yield b" "  # the head goes with the first piece, and JSON may begin so
            yield dumps({"StatusCode": await _end(call, container.id, condition or "not-running", queue)})

    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), flow=flow)


async def _end(call: ApiCall, container_id: str, condition: str, queue: asyncio.Queue[Happening]) -> int:
    try:
        now = await asyncio.to_thread(containers.find, call.context, container_id)
    except NoSuchContainer:
        return 0
    if condition == "not-running" and not now.running:
        return now.state.exit_code
    code, between = now.state.exit_code, now.waits
    while True:
        event = await queue.get()
        if event.id != container_id or not isinstance(event, ContainerEvent):
            continue
        if event.action == "die":
            code = int(event.attributes.get("exitCode", "0"))
            if condition == "next-exit" or (condition == "not-running" and not event.active):
                return code
            between = event.active
        elif event.action == "start":
            between = False
        elif event.action == "stop" and between and not event.active and condition != "removed":
            return code  # it was stopped before its next start, and won't exit any more
        elif event.action == "destroy":
            return code
