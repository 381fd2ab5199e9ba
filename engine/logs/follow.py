"""Following a container log as it is written, through every rotation: its directory is watched.

Root's containers have root's share of inotify, too, and one of them may have taken all of it: then we look ten times a
second.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from typing import TYPE_CHECKING, Self

from pycompose.engine.errors import EngineError
from pycompose.engine.logs.inotify import watch_directory
from pycompose.engine.logs.reader import (
    BLOCK_BYTES,
    LineJoiner,
    LogFiles,
    LogLine,
    open_files,
    select_batches,
)

if TYPE_CHECKING:
    from pathlib import Path

_TURN_BYTES = 1024 * 1024


class LogFollower:
    """The lines of a log as they come, after those of the past that were asked for.

    Wait until `fileno` is readable only when `read` has returned nothing. `gone`: the log was removed.
    """

    def __init__(self, directory: Path, *, since_ns: int | None = None, tail: int | None = None) -> None:
        """Start with the lines from `since_ns` on, the last `tail` of them; raises EngineError."""
        self._directory = directory
        self._since_ns = since_ns
        self._joiner = LineJoiner()
        self._rest = b""
        self._files: deque[int] = deque()
        self._offset = 0
        self._ready: deque[LogLine] = deque()
        # Watched first, looked at then, so that nothing falls between.
        try:
            self._watch = watch_directory(directory)
        except OSError as exc:
            raise EngineError(f"log {directory}: cannot follow: {exc.strerror}") from exc
        try:
            self._start(tail)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return itself; the block closes it."""
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor that is readable when there may be more."""
        return self._watch.fileno()

    @property
    def gone(self) -> bool:
        """Whether the log has been removed, as of the last `read`."""
        return self._watch.gone

    def close(self) -> None:
        """Close everything."""
        while self._files:
            os.close(self._files.pop())
        self._watch.close()

    def read(self) -> list[LogLine]:
        """Return what is there, at most about 1 MiB of it, without waiting; raises EngineError."""
        self._watch.drain()
        lines = list(self._ready)
        self._ready.clear()
        left = _TURN_BYTES
        while left > 0:
            block = os.pread(self._files[0], BLOCK_BYTES, self._offset) if self._files else b""
            if not block:
                if not self._advance():
                    break
                continue
            self._offset += len(block)
            left -= len(block)
            *records, self._rest = (self._rest + block).split(b"\n")
            since_ns = self._since_ns or 0
            lines += [line for line in self._joiner.lines(records) if line.stamp_ns >= since_ns]
        return lines

    def unfinished(self) -> list[LogLine]:
        """Return what `read` has come across of lines that aren't over (prompts), of each stream one at most."""
        return self._joiner.unfinished()

    def _start(self, tail: int | None) -> None:
        """Find the place to begin at, and the lines before it that were asked for."""
        with contextlib.closing(LogFiles(self._directory)) as run:
            start = run.end
            if tail is None:
                start = run.line_start(0 if self._since_ns is None else run.at(self._since_ns))
            else:
                batches = select_batches(run, self._joiner, run.end, since_ns=self._since_ns, tail=tail)
                self._ready = deque(itertools.chain.from_iterable(batches), maxlen=max(tail, 0))
            index, self._offset = run.place(start)
            self._files.extend(run.fds[index:])
            del run.fds[index:]

    def _advance(self) -> bool:
        """At the end of a file: go to the next one, if there is one.

        A file that was found rotated is read once more before it is left: its writer was done with it then.
        """
        if len(self._files) > 1:
            os.close(self._files.popleft())
            self._offset, self._rest = 0, b""
            return True
        status = os.fstat(self._files[0]) if self._files else None
        newer = open_files(self._directory, until=(status.st_dev, status.st_ino) if status else None)
        if status and not status.st_nlink and not newer:
            os.close(self._files.popleft())  # or its directory would live on, and we'd never hear of its end
            self._offset, self._rest = 0, b""
        self._files.extend(newer)
        return bool(newer)
