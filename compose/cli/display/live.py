"""The live view's thread: collects events at once, and lets console.py (rich) draw ten times a second.

rich takes 70 ms to import, so that happens in the thread while the work goes on; a command that is done
before that never waits for more than one drawing.
"""

from __future__ import annotations

import threading
from typing import IO

from pycompose.cli.display.board import ProgressBoard
from pycompose.events import Event


class LiveView:
    """A renderer that redraws the rows of a ProgressBoard in place."""

    def __init__(self, stream: IO[str], *, title: str, colour: bool) -> None:
        self._stream = stream
        self._title = title
        self._colour = colour
        self._board = ProgressBoard()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event, /) -> None:
        """Take one event; the first one starts the drawing."""
        with self._lock:
            if self._done.is_set():
                return
            self._board.take(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Draw the last state and leave it on the screen."""
        with self._lock:
            self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _draw(self) -> None:
        from pycompose.cli.display.console import draw  # noqa: PLC0415 - the import is this thread's first work

        draw(self._stream, self._board, self._lock, self._done, title=self._title, colour=self._colour)
