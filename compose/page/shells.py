"""Shells in containers: what is typed comes by requests, what is printed is one long answer.

The same cookie, origin and host are asked for as of every other request. A shell ends with the page that shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, done
from pycompose.api.pump import Pump
from pycompose.client import sessions
from pycompose.client.options import ExecOptions
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pycompose.api.http import ApiCall
    from pycompose.client.sessions import Session
    from pycompose.policy.observed import ObservedContainer

MOST_SHELLS = 20
MOST_WAITING = 64
MOST_CELLS = 1000
# bash where there is one; every other shell is asked for nothing.
COMMAND = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")


@dataclass(slots=True)
class _Shell:
    """One shell: what waits to be typed, what waits to be shown (b"" is the end of it)."""

    loop: asyncio.AbstractEventLoop
    typed: asyncio.Queue[bytes]
    shown: asyncio.Queue[bytes]
    session: Session | None = None
    size: tuple[int, int] = (24, 80)
    over: bool = False
    code: int | None = None

    async def read(self) -> bytes:
        """Return what was typed (api/http.py: Wire)."""
        return await self.typed.get()

    async def write(self, data: bytes) -> None:
        """Show something. Raises OSError when nobody looks any more."""
        if self.over:
            raise BrokenPipeError
        await self.shown.put(data)

    def hung_up(self) -> bool:
        """Tell whether the page has gone."""
        return self.over


class Shells:
    """All that are open; lives in the event loop, but for what requests ask."""

    def __init__(self) -> None:
        self._all: dict[str, _Shell] = {}

    def open(self, call: ApiCall) -> ApiAnswer:
        """POST /shell `{"project", "container", "rows", "columns"}`: the answer is what the terminal shows."""
        asked = call.document()
        container = read_container(call.context.paths, _word(asked.get("container")))
        if container is None or container.config.project != asked.get("project"):
            raise ApiError(404, "container: there is none of this id in the project")
        if container.state.status is not Status.RUNNING:
            raise ApiError(409, f"container {container.name}: doesn't run")
        if len(self._all) >= MOST_SHELLS:
            raise ApiError(503, f"{MOST_SHELLS} shells are open already")
        size = _size(asked.get("rows"), asked.get("columns"))
        key = secrets.token_urlsafe(16)
        headers = (("Content-Type", "application/octet-stream"), ("X-Shell", key))
        return ApiAnswer(headers=headers, flow=lambda: self._flow(call, container, key, size))

    def ask(self, call: ApiCall) -> ApiAnswer:
        """POST /shell/ID/input, with bytes that were typed, or /shell/ID/size `{"rows", "columns"}`."""
        _, _, key, what = (*call.path.split("/"), "", "")[:4]
        shell = self._all.get(key)
        if shell is None:
            raise ApiError(404, "no such shell")
        if what == "input":
            if shell.typed.qsize() >= MOST_WAITING:
                raise ApiError(503, "the shell doesn't read")
            if call.body:
                shell.loop.call_soon_threadsafe(shell.typed.put_nowait, call.body)
        elif what == "size":
            asked = call.document()
            shell.size = _size(asked.get("rows"), asked.get("columns"))
            if shell.session is not None:
                shell.session.resize(*shell.size)
        else:
            raise ApiError(404, "a shell has input and size")
        return done()

    async def _flow(
        self, call: ApiCall, container: ObservedContainer, key: str, size: tuple[int, int]
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        shell = _Shell(loop, asyncio.Queue(), asyncio.Queue(MOST_WAITING), size=size)
        options = ExecOptions(
            service=container.service,
            container=container.id,
            command=COMMAND,
            tty=True,
            rows=size[0],
            columns=size[1],
            env=("TERM=xterm-256color",),
        )
        self._all[key] = shell
        try:
            yield f"\x1b[2m{container.name}\x1b[0m\r\n".encode()  # the answer's head goes with it
            session = await asyncio.to_thread(sessions.exec_, call.context, container.config.project, options)
            shell.session = session
            if shell.size != size:
                session.resize(*shell.size)
            async with contextlib.aclosing(_talk(shell, session)) as pieces:
                async for data in pieces:
                    yield data
        except PycomposeError as exc:
            yield f"{exc.message}\r\n".encode()
        finally:
            del self._all[key]


async def _talk(shell: _Shell, session: Session) -> AsyncGenerator[bytes, None]:
    """Yield what is to be shown until the shell ends; it is hung up (SIGHUP) when the page goes before."""
    pump = asyncio.ensure_future(_join(shell, session))
    try:
        while data := await shell.shown.get():
            yield data
        yield f"\r\n\x1b[2mended with code {shell.code}\x1b[0m\r\n".encode()
    finally:
        shell.over = True
        if shell.code is None:
            await asyncio.to_thread(session.signal, signal.SIGHUP)
        pump.cancel()
        await asyncio.wait([pump])


async def _join(shell: _Shell, session: Session) -> None:
    """Copy between the two until the shell has ended."""

    def ended(code: int | None) -> None:
        shell.code = code if code is not None else -1

    try:
        await Pump(session, shell, ended, shown=frozenset({"stdout"}), multiplexed=False).run()
    finally:
        if not shell.over:  # somebody waits for it
            await shell.shown.put(b"")


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.isalnum():
        raise ApiError(400, "container: an id")
    return value


def _size(rows: object, columns: object) -> tuple[int, int]:
    if not (isinstance(rows, int) and isinstance(columns, int)):
        raise ApiError(400, "rows and columns: numbers")
    if not (0 < rows <= MOST_CELLS and 0 < columns <= MOST_CELLS):
        raise ApiError(400, f"rows and columns: 1 to {MOST_CELLS}")
    return rows, columns
