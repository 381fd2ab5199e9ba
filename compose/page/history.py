"""Output of containers from before what an open page has: read from the logs, so many lines at a time.

Lines of one container may have one time (they were read together), so whoever asks for what comes before or after a
line gets all lines of its time again, and no time is ever cut in two.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pycompose.engine.errors import EngineError
from pycompose.engine.logs.reader import LineJoiner, LogFiles, read_batches, select_batches
from pycompose.engine.logs.writer import is_kept, log_directory
from pycompose.page.output import printed_line
from pycompose.state.snapshot import claims, read_container

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.client.context import Context
    from pycompose.engine.logs.reader import LogLine
    from pycompose.page.output import PrintedLine

MOST_LINES = 2000
MOST_BYTES = 1 << 20
# ECMA-48, as static/ansi.js has it.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_US = 1000


class PastLines(NamedTuple):
    """Lines by their time, and whether there are others further on in the direction that was asked for."""

    lines: list[PrintedLine]
    more: bool


class PastSource(NamedTuple):
    """A container whose log is kept."""

    id: str
    name: str
    service: str
    directory: Path


def sources(context: Context, project: str) -> list[PastSource]:
    """Return the containers of a project whose logs can be read."""
    found = (read_container(context.paths, key, states=False) for key in claims(context.paths, project))
    return [
        PastSource(one.id, one.name, one.service, log_directory(context.paths, one.config))
        for one in found
        if one is not None and is_kept(one.config.log)
    ]


def earlier(places: Iterable[PastSource], until_us: int) -> PastLines:
    """Return the last lines up to a time, microseconds since 1970, with all of it."""
    until_ns = until_us * _US + _US - 1
    places = list(places)
    sizes = _Sizes(newest=True)
    for place in places:
        with contextlib.suppress(OSError, EngineError), contextlib.closing(LogFiles(place.directory)) as run:
            end = run.at(until_ns + 1)
            for lines in select_batches(run, LineJoiner(), end, since_ns=None, tail=MOST_LINES + 1):
                sizes.add(lines)
    since_ns = sizes.limit_ns // _US * _US
    return PastLines(_between(places, since_ns, until_ns), sizes.more)


def later(places: Iterable[PastSource], since_us: int) -> PastLines:
    """Return the first lines from a time on, microseconds since 1970, with all of it, of those that have ended."""
    since_ns = since_us * _US
    places = list(places)
    sizes = _Sizes(newest=False)
    now_ns = time.time_ns()
    for place in places:
        taken = taken_bytes = 0
        for lines in _batches(place, since_ns, now_ns):
            sizes.add(lines)
            taken += len(lines)
            taken_bytes += sum(len(line.data) for line in lines)
            if taken > MOST_LINES or taken_bytes > MOST_BYTES:
                break
    until_ns = sizes.limit_ns // _US * _US + _US - 1 if sizes.more else now_ns
    return PastLines(_between(places, since_ns, until_ns), sizes.more)


def whole(places: Iterable[PastSource], *, search: str, stream: str) -> Iterator[bytes]:
    """Yield all lines as text, with time, container and stream: those that hold `search`, of one `stream` or ("") both.

    `search` is looked for in names, too, without regard to case or colours.
    """
    places = list(places)
    names = {place.id: place.name for place in places}
    wanted = search.lower()
    since_us, more = 0, True
    while more:
        lines, more = later(places, since_us)
        if more:
            since_us = lines[-1][0] + 1
        text = "".join(
            f"{_moment(at_us)} {names[key]} {'stderr' if error else 'stdout'} {line}\n"
            for at_us, key, error, line in lines
            if stream in ("", "err" if error else "out")
            if not wanted or wanted in _SEQUENCE.sub("", line).lower() or wanted in names[key].lower()
        )
        if text:
            yield text.encode("utf-8", "replace")


def _moment(at_us: int) -> str:
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:06}Z"


class _Sizes:
    """Finds how far so many lines go: their times and lengths are kept, no texts."""

    def __init__(self, *, newest: bool) -> None:
        self._newest = newest
        self._kept: list[tuple[int, int]] = []
        self.more = False

    def add(self, lines: Iterable[LogLine]) -> None:
        """Count lines, and forget those that are too far."""
        self._kept += [(line.stamp_ns, len(line.data)) for line in lines]
        self._kept.sort(reverse=self._newest)
        total = 0
        for place, (_, length) in enumerate(self._kept):
            total += length
            if place >= MOST_LINES or (place and total > MOST_BYTES):
                del self._kept[place:]
                self.more = True
                return

    @property
    def limit_ns(self) -> int:
        """The time of the last of them."""
        return self._kept[-1][0] if self._kept else 0


def _batches(place: PastSource, since_ns: int, until_ns: int) -> Iterator[list[LogLine]]:
    with contextlib.suppress(OSError, EngineError):  # it is being removed
        yield from read_batches(place.directory, since_ns=since_ns, until_ns=until_ns)


def _between(places: Iterable[PastSource], since_ns: int, until_ns: int) -> list[PrintedLine]:
    found = [
        printed_line(place.id, line)
        for place in places
        for lines in _batches(place, since_ns, until_ns)
        for line in lines
    ]
    return sorted(found, key=lambda line: line[0])
