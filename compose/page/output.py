"""What containers print, followed once for all open pages, by a thread that is there while one is.

For each page lines wait in a queue that has an end: of one that doesn't keep up the oldest are dropped, and counted.
Who comes later gets the last lines that were followed before, so that every page begins alike.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.errors import EngineError
from pycompose.engine.logs.follow import LogFollower
from pycompose.engine.logs.writer import log_directory
from pycompose.engine.statedirs import make_directory
from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.engine.logs.reader import LogLine

# For all containers together; a page keeps so many at most.
MOST_WAITING = 20_000
MOST_WAITING_CHARACTERS = 1 << 22
# In one message.
MOST_TOLD = 5000
# Of each container, from before the page was opened.
TAIL = 200
TAIL_CHARACTERS = 1 << 16
MOST_BYTES = 8192
PAUSE_S = 0.05

# Microseconds since 1970 (a browser has no larger whole numbers), id of the container, whether it is stderr, the text.
PrintedLine = tuple[int, str, bool, str]
# Id of the container, and whether it is stderr.
PrintedStream = tuple[str, bool]


class Printed(NamedTuple):
    """What a page is told at once: lines, what there is so far of the ones after them, how many were dropped before."""

    lines: list[PrintedLine]
    unfinished: list[PrintedLine]
    dropped: int


class OutputListener:
    """One page's queue."""

    def __init__(self, source: PrintedOutput, told: Callable[[], None]) -> None:
        self._source = source
        self.told = told
        self.wanted: frozenset[str] = frozenset()
        self.served: set[str] = set()
        self.lock = threading.Lock()
        self.waiting: deque[PrintedLine] = deque()
        self._characters = 0
        self._unfinished: dict[PrintedStream, PrintedLine] = {}
        self._dropped = 0

    def follow(self, wanted: frozenset[str]) -> None:
        """Follow the containers with these ids, and no others."""
        if wanted != self.wanted:
            self.wanted = wanted
            self._source.nudge()

    def take(self) -> Printed:
        """Return what waits, MOST_TOLD lines at a time; of a line that isn't over only what hasn't been told."""
        with self.lock:
            lines = [self._pop() for _ in range(min(len(self.waiting), MOST_TOLD))]
            dropped, self._dropped = self._dropped, 0
            more = bool(self.waiting)
            unfinished = []
            if not more:
                unfinished = list(self._unfinished.values())
                self._unfinished.clear()
        if more:
            self.told()
        return Printed(lines, unfinished, dropped)

    def _pop(self) -> PrintedLine:
        line = self.waiting.popleft()
        self._characters -= len(line[3])
        return line

    def add(self, lines: list[PrintedLine], unfinished: list[PrintedLine]) -> None:
        """Have lines wait, in the order of their time, and what there is so far of those that come next."""
        if not lines and not unfinished:
            return
        with self.lock:
            self.waiting += lines
            self._characters += sum(len(line[3]) for line in lines)
            for line in lines:
                self._unfinished.pop(line[1:3], None)
            self._unfinished |= {line[1:3]: line for line in unfinished}
            while len(self.waiting) > MOST_WAITING or self._characters > MOST_WAITING_CHARACTERS:
                self._pop()
                self._dropped += 1
        self.told()

    def close(self) -> None:
        """Listen no more."""
        self._source.leave(self)


class _Followed:
    """One container's follower, its last lines, and what there is of the next one of each stream."""

    def __init__(self, follower: LogFollower) -> None:
        self.follower = follower
        self.unfinished: dict[PrintedStream, PrintedLine] = {}
        self._lengths: dict[str, int] = {}
        self._last: deque[PrintedLine] = deque(maxlen=TAIL)
        self._characters = 0

    def keep(self, line: PrintedLine) -> None:
        if len(self._last) == TAIL:
            self._characters -= len(self._last[0][3])
        self._last.append(line)
        self._characters += len(line[3])
        while self._characters > TAIL_CHARACTERS:
            self._characters -= len(self._last.popleft()[3])

    def grown(self, key: str, ended: list[PrintedLine]) -> list[PrintedLine]:
        """Return what there is of lines that aren't over, where that is more than before these lines have `ended`."""
        found = self.follower.unfinished()
        if not found and not self._lengths:
            return []
        before = self._lengths
        for line in ended:
            before.pop("stderr" if line[2] else "stdout", None)
        self._lengths = {line.stream: len(line.data) for line in found}
        printed = {line.stream: printed_line(key, line) for line in found}
        self.unfinished = {line[1:3]: line for line in printed.values()}
        return [line for stream, line in printed.items() if self._lengths[stream] != before.get(stream)]

    @property
    def last(self) -> list[PrintedLine]:
        return list(self._last)


class PrintedOutput:
    """The followers of all pages; the thread lives as long as one listens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._listeners: list[OutputListener] = []
        self._wake = -1

    def listen(self, told: Callable[[], None]) -> OutputListener:
        """Return a queue; `told` is called from the thread when something has come into it."""
        listener = OutputListener(self, told)
        with self._lock:
            self._listeners.append(listener)
            if self._wake < 0:
                reader, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                threading.Thread(target=self._run, args=(reader,), name="page-output", daemon=True).start()
        return listener

    def leave(self, listener: OutputListener) -> None:
        """Forget a listener; with the last one the thread ends, and closes everything."""
        with self._lock:
            self._listeners.remove(listener)
            if not self._listeners:
                os.close(self._wake)
                self._wake = -1
                return
        self.nudge()

    def nudge(self) -> None:
        """Have the thread look at what is wanted."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._wake >= 0:
                os.write(self._wake, b"!")

    def _run(self, reader: int) -> None:
        followed: dict[str, _Followed] = {}
        over = False
        try:
            while not over:
                with self._lock:
                    listeners = list(self._listeners)
                self._choose(followed, listeners)
                if self._read(followed, listeners):
                    # So that lines come in batches, not each for itself.
                    over = self._wait(reader, {}, PAUSE_S)
                else:
                    over = self._wait(reader, followed, None)
        finally:
            for one in followed.values():
                one.follower.close()
            os.close(reader)

    @staticmethod
    def _wait(reader: int, followed: dict[str, _Followed], at_most_s: float | None) -> bool:
        """Wait for lines, for other wishes, or for the time; tell whether nobody listens any more."""
        poll = select.poll()
        for fd in (reader, *(one.follower.fileno() for one in followed.values())):
            poll.register(fd, select.POLLIN)
        found = poll.poll(None if at_most_s is None else at_most_s * 1000)
        if reader not in dict(found):
            return False
        return os.read(reader, 64) == b""

    def _choose(self, followed: dict[str, _Followed], listeners: list[OutputListener]) -> None:
        wanted = frozenset[str]().union(*(listener.wanted for listener in listeners))
        for gone in followed.keys() - wanted:
            followed.pop(gone).follower.close()
        for new in wanted - followed.keys():
            self._begin(followed, new)
        for listener in listeners:
            late = (listener.wanted & followed.keys()) - listener.served
            listener.served = set(listener.wanted & followed.keys())
            past = [line for key in late for line in followed[key].last]
            unfinished = [line for key in late for line in followed[key].unfinished.values()]
            listener.add(sorted(past, key=lambda line: line[0]), unfinished)

    def _begin(self, followed: dict[str, _Followed], key: str) -> None:
        container = read_container(self._context.paths, key, states=False)
        if container is not None:
            directory = log_directory(self._context.paths, container.config)
            with contextlib.suppress(OSError, EngineError):  # it is being removed
                make_directory(directory)
                followed[key] = _Followed(LogFollower(directory, tail=TAIL))

    @staticmethod
    def _read(followed: dict[str, _Followed], listeners: list[OutputListener]) -> bool:
        found: list[PrintedLine] = []
        unfinished: list[PrintedLine] = []
        for key, one in list(followed.items()):
            try:
                new = [printed_line(key, line) for line in one.follower.read()]
            except (OSError, EngineError):
                followed.pop(key).follower.close()
                continue
            for line in new:
                one.keep(line)
            found += new
            unfinished += one.grown(key, new)
            if one.follower.gone and not new:
                followed.pop(key).follower.close()
        found.sort(key=lambda line: line[0])
        for listener in listeners:
            served = listener.served
            listener.add(*([line for line in lines if line[1] in served] for lines in (found, unfinished)))
        return bool(found or unfinished)


def printed_line(key: str, line: LogLine) -> PrintedLine:
    """Return a line of a container (`key`) as the page gets it; a long one says how much of it isn't there."""
    text = line.data[:MOST_BYTES].decode("utf-8", "replace")
    if (more := len(line.data) - MOST_BYTES) > 0:
        text += f"… ({more} bytes more: pycompose logs)"
    return line.stamp_ns // 1000, key, line.stream == "stderr", text
