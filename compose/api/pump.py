"""A process in a container and a client, joined in the event loop; only the end is waited for by a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING

from pycompose.api.container_output import framed
from pycompose.api.pipes import readable, write_fd
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.api.http import Wire
    from pycompose.client.sessions import Session

# How long output is waited for that others than the process may still write; how often a silent client is looked at.
REST_S = 0.1
LOOK_S = 1.0


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended
        loop.call_soon_threadsafe(call)


class Pump:
    """Copies between a session and a wire until the process has ended or the client has gone."""

    def __init__(
        self,
        session: Session,
        wire: Wire,
        ended: Callable[[int | None], None],
        *,
        shown: frozenset[str],
        multiplexed: bool,
        waits: bool = False,
    ) -> None:
        """Tell `ended` the exit code, None when nobody can tell it, in a thread.

        Of the outputs only those `shown` are sent, `multiplexed` with the name of each before its pieces. Who `waits`
        for the container's start gets its input then.
        """
        self._session = session
        self._wire = wire
        self._told = ended
        self._shown = shown
        self._multiplexed = multiplexed
        self._over = False
        self._gone = asyncio.Event()
        self._joined = asyncio.Event()
        loop = asyncio.get_running_loop()
        if waits:
            session.on_joined = lambda: _soon(loop, self._joined.set)
        else:
            self._joined.set()

    async def run(self) -> None:
        """Copy, and close the session's streams; its connection stays until the process has ended."""
        session = self._session
        outputs = {"stdout": session.stdout, "stderr": session.stderr}
        if session.terminal is not None and session.stdout is None:
            outputs["stdout"] = session.terminal
        for fd in (session.stdout, session.stderr, outputs["stdout"]):
            if fd is not None:
                os.set_blocking(fd, False)
        copies = [
            asyncio.ensure_future(self._output(name, fd)) for name, fd in outputs.items() if fd is not None
        ]
        typed = asyncio.ensure_future(self._input())
        finish = asyncio.ensure_future(self._finish(copies))
        gone = asyncio.ensure_future(self._hung_up())
        try:
            await asyncio.wait([finish, gone], return_when=asyncio.FIRST_COMPLETED)
            if not self._over:
                session.leave()
        finally:
            tasks = [*copies, typed, finish, gone]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._close_streams()

    async def _finish(self, copies: list[asyncio.Task[None]]) -> None:
        ended = asyncio.ensure_future(self._end())
        if copies and self._session.ends:
            await asyncio.wait(copies)
        await ended
        if copies:
            # What it has written before its end is there by now; others may hold the pipes open (Session.ends).
            await asyncio.wait(copies, timeout=None if self._session.ends else REST_S)

    async def _hung_up(self) -> None:
        """Return when the client has gone: it can't be written to, or the kernel says so."""
        while not self._gone.is_set() and not self._wire.hung_up():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), LOOK_S)

    async def _output(self, name: str, fd: int) -> None:
        while data := await readable(fd):
            if name not in self._shown:
                continue
            try:
                await self._wire.write(framed(name, data) if self._multiplexed else data)
            except OSError:
                self._gone.set()
                return

    async def _input(self) -> None:
        """Pass on what the client sends; its end is the end of the input."""
        session = self._session
        await self._joined.wait()
        for fd in (session.stdin, session.terminal):
            if fd is not None:
                os.set_blocking(fd, False)
        while True:
            try:
                data = await self._wire.read()
            except OSError:
                data = b""
            target = session.stdin if session.stdin is not None else session.terminal
            if not data:
                if session.stdin is not None:
                    fd, session.stdin = session.stdin, None
                    os.close(fd)
                return
            if target is not None and not await write_fd(target, data):
                return

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def wait() -> None:
            code = None
            with contextlib.suppress(PycomposeError, OSError):
                code = self._session.wait()
            self._over = True
            self._told(code)
            self._session.connection.close()
            _soon(loop, over.set)

        threading.Thread(target=wait, name="api-session", daemon=True).start()
        await over.wait()

    def _close_streams(self) -> None:
        session = self._session
        for name in ("stdin", "stdout", "stderr", "terminal"):
            fd = getattr(session, name)
            setattr(session, name, None)
            if fd is not None:
                os.close(fd)
