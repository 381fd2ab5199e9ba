"""Shells in containers, each on a WebSocket of its own, which stands in a tab of its own and ends with it.

The page says `{"typed": TEXT}`, `{"size": [rows, columns]}` and `{"shown": BYTES}`, and gets what the terminal shows.
The same cookie, origin and host are asked for as of every other request.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer
from pycompose.api.pump import Pump
from pycompose.api.websocket import BINARY, WebSocketWire, handshake
from pycompose.client import sessions
from pycompose.client.options import ExecOptions
from pycompose.engine.errors import PycomposeError
from pycompose.engine.state import Status
from pycompose.page.messages import objects
from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from pycompose.api.http import ApiCall, Wire
    from pycompose.client.sessions import Session

MOST_SHELLS = 20
MOST_CELLS = 1000
# What the page hasn't shown yet: its browser would keep any amount of it.
MOST_AHEAD_BYTES = 1 << 18
# What the shell hasn't read yet.
MOST_TYPED_BYTES = 1 << 22
# bash where there is one; every other shell is asked for nothing.
COMMAND = ("/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")


class _Terminal:
    """The page's end of a shell, a wire (api/http.py) for bytes that are typed and shown."""

    def __init__(self, wire: WebSocketWire, size: tuple[int, int]) -> None:
        self._wire = wire
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting_bytes = 0
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self.size = size
        self.session: Session | None = None
        self.over = False

    async def read(self) -> bytes:
        """Return what was typed."""
        data = await self._typed.get()
        self._waiting_bytes -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Show something. Raises OSError when nobody looks any more."""
        while self._ahead_bytes > MOST_AHEAD_BYTES and not self.over:
            self._room.clear()
            await self._room.wait()
        if self.over:
            raise BrokenPipeError
        self._ahead_bytes += len(data)
        await self._wire.write(data)

    def hung_up(self) -> bool:
        """Tell whether the page has gone."""
        return self.over or self._wire.hung_up()

    async def hear(self) -> None:
        """Do what the page says until it has gone. Raises OSError, ApiError."""
        try:
            async with contextlib.aclosing(objects(self._wire)) as said:
                async for one in said:
                    self._do(one)
        finally:
            self.leave()

    def _do(self, said: dict[str, Any]) -> None:
        typed, size, shown = (said.get(key) for key in ("typed", "size", "shown"))
        if isinstance(typed, str):
            self._take(typed.encode("utf-8", "replace"))
        if isinstance(size, list):
            self.size = size_of(*[*size, None, None][:2])
            if self.session is not None:
                self.session.resize(*self.size)
        if isinstance(shown, int):
            self._ahead_bytes -= shown
            self._room.set()

    def _take(self, data: bytes) -> None:
        self._waiting_bytes += len(data)
        if self._waiting_bytes > MOST_TYPED_BYTES:
            raise ApiError(400, "the shell doesn't read what is typed")
        if data:
            self._typed.put_nowait(data)

    def leave(self) -> None:
        """Have nobody wait for the page any more."""
        self.over = True
        self._room.set()


class Shells:
    """All that are open."""

    def __init__(self) -> None:
        self._open = 0

    def open(self, call: ApiCall) -> ApiAnswer:
        """GET /shell?project=…&container=ID&rows=N&columns=N, a WebSocket. Raises ApiError."""
        accepted = handshake(call)
        size = size_of(*(_number(call, key) for key in ("rows", "columns")))

        async def talk(wire: Wire) -> None:
            inner = WebSocketWire(wire, BINARY)
            self._open += 1
            try:
                await self._run(call, _Terminal(inner, size))
            except PycomposeError as exc:
                await inner.write(f"{exc.message}\r\n".encode())
            finally:
                self._open -= 1
            with contextlib.suppress(OSError):
                await inner.close()

        return ApiAnswer(headers=accepted, talk=talk)

    async def _run(self, call: ApiCall, terminal: _Terminal) -> None:
        """Run a shell until it ends or the page has gone. Raises PycomposeError, OSError."""
        if self._open > MOST_SHELLS:
            raise ApiError(503, f"{MOST_SHELLS} shells are open already")
        size = terminal.size
        project, key = (call.query.get(name, [""])[0] for name in ("project", "container"))
        container = read_container(call.context.paths, key) if key.isalnum() else None
        if container is None or container.config.project != project:
            raise ApiError(404, "there is no such container in the project any more")
        if container.state.status is not Status.RUNNING:
            raise ApiError(409, f"container {container.name}: doesn't run")
        options = ExecOptions(
            service=container.service,
            container=container.id,
            command=COMMAND,
            tty=True,
            rows=size[0],
            columns=size[1],
            env=("TERM=xterm-256color",),
        )
        await terminal.write(f"\x1b[2m{container.name}\x1b[0m\r\n".encode())
        hears = asyncio.ensure_future(terminal.hear())
        try:
            session = await asyncio.to_thread(sessions.exec_, call.context, project, options)
            terminal.session = session
            if terminal.size != size:
                session.resize(*terminal.size)
            await _join(terminal, session, hears)
        finally:
            terminal.leave()
            hears.cancel()
            await asyncio.wait([hears])


async def _join(terminal: _Terminal, session: Session, hears: asyncio.Future[None]) -> None:
    """Copy between the two until the shell has ended; it is hung up (SIGHUP) when the page goes before.

    Raises PycomposeError for a page that says what it may not.
    """
    codes: list[int] = []

    def ended(code: int | None) -> None:
        codes.append(code if code is not None else -1)

    pump = asyncio.ensure_future(
        Pump(session, terminal, ended, shown=frozenset({"stdout"}), multiplexed=False).run()
    )
    try:
        await asyncio.wait([pump, hears], return_when=asyncio.FIRST_COMPLETED)
        if pump.done() and codes:
            await terminal.write(f"\r\n\x1b[2mended with code {codes[0]}\x1b[0m\r\n".encode())
        elif hears.done():
            hears.result()
    finally:
        terminal.leave()
        if not codes:
            await asyncio.to_thread(session.signal, signal.SIGHUP)
        pump.cancel()
        await asyncio.wait([pump])


def _number(call: ApiCall, key: str) -> int | None:
    text = call.query.get(key, [""])[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(MOST_CELLS)) + 1 else None


def size_of(rows: object, columns: object) -> tuple[int, int]:
    """Return the size of a terminal in cells. Raises ApiError."""
    if not (type(rows) is int and type(columns) is int):
        raise ApiError(400, "rows and columns: numbers")
    if not (0 < rows <= MOST_CELLS and 0 < columns <= MOST_CELLS):
        raise ApiError(400, f"rows and columns: 1 to {MOST_CELLS}")
    return rows, columns
