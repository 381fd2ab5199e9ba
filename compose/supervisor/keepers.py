"""Gets the project's keeper: the one that is there, or a new one, also in place of one that has died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from pycompose.engine.client import KeeperClient
from pycompose.engine.errors import EngineError, KeeperMismatch, NoSuchContainer, PycomposeError
from pycompose.engine.linux.process import end_process
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pycompose.engine.api import Engine, OnEvent
    from pycompose.supervisor.runtime.containers import Runtime

log = logging.getLogger("pycompose.supervisor")

# What the keeper starts the supervisor with, before the project's name, when it has died.
BY_NAME = "--project"
PROJECT_VARIABLE = "PYCOMPOSE_PROJECT"
PATIENCE_S = 5.0


class Keepers:
    """The keepers that one project has, one after the other; the present one is `runtime.keeper`.

    `on_event` is called by the client's thread. `background` starts work that the supervisor stays for.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_event: OnEvent,
        background: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._runtime = runtime
        self._on_event = on_event
        self._background = background
        self._lock = asyncio.Lock()
        self._launched: int | None = None
        self._log = runtime.paths.project(runtime.project) / "supervisor.log"
        self._replacing: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Make sure that there is a keeper; raises EngineError."""
        async with self._lock:
            if not self._runtime.has_keeper:
                await blocking(self._get)

    def start_soon(self) -> None:
        """Begin to start a keeper, for whoever will need it; an error is told to those."""

        async def work() -> None:
            with contextlib.suppress(PycomposeError):
                await self.ensure()

        if not self._runtime.has_keeper:
            self._background(work())

    def spawn(self) -> None:
        """Start the process of a keeper at once, then do as `start_soon`.

        Its interpreter then starts while this one makes the containers; a thread among those of the containers would
        get its turn too late for that.
        """
        runtime = self._runtime
        if not runtime.has_keeper:
            with contextlib.suppress(EngineError):  # told to whoever needs it
                self._launched = KeeperClient.launch(runtime.paths, runtime.project, self._log)
        self.start_soon()

    def _get(self) -> None:
        """Set `runtime.keeper`: here, on the thread, as whoever waits may be cancelled, and no keeper may be lost."""
        paths, project = self._runtime.paths, self._runtime.project
        child, self._launched = self._launched, None
        try:
            keeper: Engine = KeeperClient.connect(paths, project, on_event=self._on_event, child=child)
        except KeeperMismatch as exc:
            keeper = self._succeed(exc)
        except EngineError:
            keeper = KeeperClient.start(paths, project, on_event=self._on_event, log=self._log)
        self._runtime.keeper = keeper
        # By its environment, as everybody can read the arguments of a process.
        keeper.guard(
            (sys.executable, "-I", "-X", "utf8", "-m", "pycompose.supervisor", BY_NAME),
            {**os.environ, PROJECT_VARIABLE: project},
        )

    def _succeed(self, old: KeeperMismatch) -> Engine:
        """Kill a keeper of another protocol and start another one, which adopts what runs and gets the terminals."""
        log.warning("%s: replacing it", old.message)
        try:
            end_process(old.pid, "pycompose.engine.keeper", (signal.SIGKILL,), PATIENCE_S)
            paths, project = self._runtime.paths, self._runtime.project
            keeper = KeeperClient.start(paths, project, on_event=self._on_event, log=self._log)
            for container_id, terminal in zip(old.terminals, old.fds, strict=False):
                with contextlib.suppress(NoSuchContainer):  # it has just ended
                    keeper.give_terminal(container_id, terminal)
            return keeper
        finally:
            for fd in old.fds:
                os.close(fd)

    def replace(self, then: Callable[[], Awaitable[None]]) -> None:
        """Begin to start another keeper in place of one that has died, and do `then`."""

        async def work() -> None:
            self._runtime.keeper = None
            await self.ensure()
            await then()

        log.warning("the keeper has ended: starting another one")
        self._runtime.losses += 1
        self._replacing = self._background(work())

    async def replaced(self) -> None:
        """Wait until a keeper that has died has been replaced."""
        if self._replacing is not None:
            await asyncio.wait([self._replacing])

    async def shutdown(self) -> None:
        """End the keeper, also one that is just starting."""
        async with self._lock:
            pass
        if self._launched is not None:
            with contextlib.suppress(PycomposeError):
                await self.ensure()
        if self._runtime.has_keeper:
            with contextlib.suppress(PycomposeError):
                await blocking(self._runtime.keeper.guard, (), {})
                await blocking(self._runtime.keeper.shutdown)
