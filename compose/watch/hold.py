"""The project held still for a moment: containers that don't run are mounted by nobody else then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.client import connect
from pycompose.ipc.requests import HoldRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths


class ProjectHold:
    """Asks the supervisor, on a thread of its own; `held` is called with what ends it."""

    def __init__(self, paths: StatePaths, project: str, held: Callable[[threading.Event], None]) -> None:
        self._paths, self._project, self._held = paths, project, held
        self._lock = threading.Lock()
        self._asking = False
        # Asked for once more meanwhile: whoever holds it now may have looked already.
        self._again = False
        self._closed = False
        self._done = threading.Event()

    def soon(self) -> None:
        """Ask for it. Where it can't be had, containers get their files at their start."""
        with self._lock:
            self._again = True
            if not self._asking and not self._closed:
                self._asking = True
                threading.Thread(target=self._run, name="hold", daemon=True).start()

    def close(self) -> None:
        """Let go."""
        with self._lock:
            self._closed = True
            self._done.set()

    def _run(self) -> None:
        while self._wanted():
            try:
                with connect(self._paths, self._project) as connection:
                    connection.call(HoldRequest(), lambda _event: None)
                    self._held(self._done)
                    self._done.wait()
            except PycomposeError:
                continue

    def _wanted(self) -> bool:
        """Tell whether it is to be asked for, or end: there is no moment between that and the next `soon`."""
        with self._lock:
            self._asking = self._again and not self._closed
            self._again = False
            if self._asking:
                self._done = threading.Event()
            return self._asking
