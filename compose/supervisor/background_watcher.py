"""`watch -d`: a process of its own that the supervisor starts, starts again when it dies, and ends with the project.

It is the command line's `watch`, and asks for the watcher's seat as any other does. It outlives a supervisor that is
killed: the next one finds it by its claim.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from pycompose.errors import SupervisorError
from pycompose.state.watching import (
    background_watcher,
    claim_watcher,
    read_watch,
    remove_watch,
    watch_log,
    write_watch,
)
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths
    from pycompose.state.watching import WatchCommand
    from pycompose.supervisor.watcher import WatcherSeat

log = logging.getLogger(__name__)

END_S = 5.0
ARRIVE_S = 30.0
# One that dies is started again after so long, twice as long each time until it has lived for a while.
FIRST_PAUSE_S, LONGEST_PAUSE_S, LIVED_S = 0.2, 30.0, 10.0
LOG_BYTES = 1 << 20
TAIL_BYTES = 2000
# The command line, in another directory than ours.
_START = """\
import json, os, sys
directory, *sys.argv[1:] = json.loads(os.environ.pop("PYCOMPOSE_WATCH"))
os.chdir(directory)
from pycompose.entry import main
sys.exit(main())
"""


class BackgroundWatcher:
    """The process of one project, or none."""

    def __init__(self, paths: StatePaths, project: str, seat: WatcherSeat) -> None:
        self._paths, self._project, self._seat = paths, project, seat
        self._pid = 0
        self._pidfd = -1
        self._gone = asyncio.Event()
        self._closed = False
        self._command: WatchCommand | None = None
        self._again: asyncio.TimerHandle | None = None
        self._pause_s = FIRST_PAUSE_S
        self._began_s = 0.0

    def resume(self) -> None:
        """Go on watching a project that was watched before this supervisor."""
        self._command = read_watch(self._paths, self._project)
        if self._command is None:
            return
        pid = background_watcher(self._paths, self._project)
        if pid:
            self._adopt(pid)
        else:
            self._spawn()

    async def start(self, command: WatchCommand) -> int:
        """Start it, in place of one that there is, and wait until it watches; return its process id.

        Raises SupervisorError with what it has said when it can't, and when somebody else watches already.
        """
        await self.stop()
        self._seat.check_free(self._project)
        self._command = command
        watch_log(self._paths, self._project).unlink(missing_ok=True)
        await blocking(write_watch, self._paths, self._project, command)
        self._spawn()
        arrived = asyncio.ensure_future(self._seat.arrival.wait())
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait((arrived, gone), timeout=ARRIVE_S, return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        gone.cancel()
        if self._seat.peer is None:
            said = self._said()
            await self.stop()
            raise SupervisorError(f"watch -d: the watcher did not start: {said}")
        return self._pid

    async def stop(self) -> bool:
        """End it, and watch no more; False when nothing was watched in the background."""
        was = self._command is not None
        self._command = None
        await self._end_process()
        remove_watch(self._paths, self._project)
        return was

    async def end(self, *, for_good: bool) -> None:
        """End it with the supervisor. Unless the project is gone `for_good`, the next one starts it again."""
        self._closed = True
        await self._end_process()
        if for_good:
            remove_watch(self._paths, self._project)

    # ------------------------------------------------------------------ inside

    def _spawn(self) -> None:
        self._again = None
        if self._closed or self._command is None:
            return
        path = watch_log(self._paths, self._project)
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_BYTES:
                path.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        said = (self._command.directory, *self._command.args)
        try:
            # The directory is the caller's, which may have gone: the command line says so.
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-c", _START],
                {
                    **self._command.environment,
                    "PYCOMPOSE_WATCH": json.dumps(said),
                },  # not for everybody to read
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.fspath(path), flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
            claim_watcher(self._paths, self._project, pid)
        except OSError as exc:
            log.warning("cannot start the watcher: %s", exc.strerror)
            return
        log.info("the watcher is process %d", pid)
        self._adopt(pid)

    def _adopt(self, pid: int) -> None:
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            self._spawn()
            return
        self._pid, self._began_s = pid, time.monotonic()
        self._gone.clear()
        self._seat.expect()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        """Reap it, and start it again after a while if it is still wanted."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        with contextlib.suppress(ChildProcessError):  # an earlier supervisor's
            os.waitpid(self._pid, 0)
        self._pid, self._pidfd = 0, -1
        self._seat.expect_nobody()
        self._gone.set()
        if self._closed or self._command is None:
            return
        if time.monotonic() - self._began_s > LIVED_S:
            self._pause_s = FIRST_PAUSE_S
        log.warning("the watcher has ended: %s", self._said())
        self._again = loop.call_later(self._pause_s, self._spawn)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _end_process(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._pidfd < 0:
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), END_S)

    def _said(self) -> str:
        try:
            text = watch_log(self._paths, self._project).read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        return text.strip()
