"""Following a container log as it is written, through every rotation: inotify(7) on its directory.

Root's containers have root's share of inotify, too, and one of them may have taken all of it: then we look ten times a
second.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from pycompose.engine.errors import EngineError
from pycompose.engine.linux.libc import call
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

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")  # wd, mask, cookie, length of the name
_TURN_BYTES = 1024 * 1024
_LOOK_NS = 100_000_000
# timerfd_settime(2): interval and first time, seconds and nanoseconds each.
_ITIMERSPEC = struct.Struct("@4l")


class LogFollower:
    """The lines of a log as they come, after those of the past that were asked for.

    Wait until `fileno` is readable only when `read` has returned nothing. `gone`: the log was removed.
    """

    def __init__(self, directory: Path, *, since_ns: int | None = None, tail: int | None = None) -> None:
        """Start with the lines from `since_ns` on, the last `tail` of them; raises EngineError."""
        self.gone = False
        self._directory = directory
        self._since_ns = since_ns
        self._joiner = LineJoiner()
        self._rest = b""
        self._files: deque[int] = deque()
        self._offset = 0
        self._ready: deque[LogLine] = deque()
        # Watched first, looked at then, so that nothing falls between.
        self._wakeup, self._told = _watch(directory)
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
        return self._wakeup

    def close(self) -> None:
        """Close everything."""
        while self._files:
            os.close(self._files.pop())
        if self._wakeup >= 0:
            os.close(self._wakeup)
            self._wakeup = -1

    def read(self) -> list[LogLine]:
        """Return what is there, at most about 1 MiB of it, without waiting; raises EngineError."""
        self._drain()
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

    def _drain(self) -> None:
        """Take the events; what they say is looked up in the files, but for the end of the directory."""
        with contextlib.suppress(BlockingIOError):
            while events := os.read(self._wakeup, 1 << 16):
                if not self._told:
                    self.gone = self.gone or not self._directory.exists()
                    continue
                at = 0
                while at < len(events):
                    _watch, mask, _cookie, length = _EVENT.unpack_from(events, at)
                    self.gone = self.gone or bool(mask & (IN_DELETE_SELF | IN_IGNORED))
                    at += _EVENT.size + length


def _watch(directory: Path) -> tuple[int, bool]:
    """Return a descriptor that is readable when there may be something new, and whether it says what.

    Raises EngineError where there is no such directory.
    """
    mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF
    fd = -1
    try:
        fd = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        call("inotify_add_watch", fd, os.fsencode(directory), mask)
    except OSError as exc:
        if fd >= 0:
            os.close(fd)
        if exc.errno not in (errno.EMFILE, errno.ENOSPC):  # max_user_instances, max_user_watches
            raise EngineError(f"log {directory}: cannot follow: {exc.strerror}") from exc
    else:
        return fd, True
    try:
        timer = call("timerfd_create", time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK)
        call("timerfd_settime", timer, 0, _ITIMERSPEC.pack(0, _LOOK_NS, 0, _LOOK_NS), 0)
    except OSError as exc:
        raise EngineError(f"log {directory}: cannot follow: {exc.strerror}") from exc
    return timer, False
