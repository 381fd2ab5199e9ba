"""Reading container logs: ranges of time, the last lines, following, several logs as one.

Rotation renames files and never changes what is in them, so whoever has them open keeps reading. The open
files of one log are seen as one run of bytes, oldest first; its records ascend by stamp.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import itertools
import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pycompose.engine.errors import EngineError
from pycompose.engine.logs.writer import FILE_NAME, HEADER_BYTES, STAMP_BYTES, STREAMS, is_record, parse_stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

BLOCK_BYTES = 256 * 1024
MAX_LINE_BYTES = 1024 * 1024

_KINDS = {
    b" %s %s " % (stream.encode(), tag): (stream, tag == b"F") for stream in STREAMS for tag in (b"F", b"P")
}
_GAPS = 2
# A file takes as long to fill as a thousand to open.
_LOOKS = 100
K = TypeVar("K")


class LogLine(NamedTuple):
    """One line without its newline; `stamp_ns` (CLOCK_REALTIME) is when its end was read.

    `partial` marks a line that isn't over: what comes next on this stream continues it. That happens above
    1 MiB, and for what a process has printed without a newline so far.
    """

    stamp_ns: int
    stream: str
    data: bytes
    partial: bool = False


class LineJoiner:
    """Puts the pieces of lines together again."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[bytes]] = {stream: [] for stream in STREAMS}
        self._lengths = dict.fromkeys(STREAMS, 0)
        self._stamp_ns = 0

    def lines(self, records: Iterable[bytes]) -> list[LogLine]:
        """Return the lines that end in `records` (without newlines); what is no record is passed over."""
        found: list[LogLine] = []
        last, stream, whole = b"", "", False
        for record in records:
            header, data = record[:HEADER_BYTES], record[HEADER_BYTES:]
            if header != last:  # lines of one read have the same
                kind = _KINDS.get(header[STAMP_BYTES:])
                if kind is None:
                    continue
                try:
                    self._stamp_ns = parse_stamp(header[:STAMP_BYTES])
                except ValueError:
                    continue
                last, (stream, whole) = header, kind
            if whole and not self._pieces[stream]:
                found.append(LogLine(self._stamp_ns, stream, data))
                continue
            self._pieces[stream].append(data)
            self._lengths[stream] += len(data)
            if whole or self._lengths[stream] >= MAX_LINE_BYTES:
                found.append(self._join(stream, partial=not whole))
        return found

    def rest(self) -> list[LogLine]:
        """Return the lines that have no end yet."""
        return [self._join(stream, partial=True) for stream in STREAMS if self._pieces[stream]]

    def unfinished(self) -> list[LogLine]:
        """Return what there is so far of the lines that have no end yet, which go on all the same."""
        return [
            LogLine(self._stamp_ns, stream, b"".join(pieces), partial=True)
            for stream, pieces in self._pieces.items()
            if pieces
        ]

    def _join(self, stream: str, *, partial: bool) -> LogLine:
        data = b"".join(self._pieces[stream])
        self._pieces[stream].clear()
        self._lengths[stream] = 0
        return LogLine(self._stamp_ns, stream, data, partial)


class LogFiles:
    """The open files of one log as one run of bytes, as long as they were when opened.

    `end` is where the last whole record ends: the writer may be in the middle of the next one.
    """

    def __init__(self, directory: Path) -> None:
        self.fds = open_files(directory)
        self.starts: list[int] = []
        self.size = 0
        for fd in self.fds:
            self.starts.append(self.size)
            self.size += os.fstat(fd).st_size
        tail = self.read(max(self.size - MAX_LINE_BYTES, 0), MAX_LINE_BYTES)
        self.end = self.size - len(tail) + tail.rfind(b"\n") + 1

    def close(self) -> None:
        """Close the files."""
        while self.fds:
            os.close(self.fds.pop())

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer only at the end."""
        chunks = []
        while count > 0 and offset < self.size:
            index, inside = self.place(offset)
            end = self.starts[index + 1] if index + 1 < len(self.fds) else self.size
            chunk = os.pread(self.fds[index], min(count, end - offset), inside)
            if not chunk:
                break
            chunks.append(chunk)
            offset += len(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    def place(self, offset: int) -> tuple[int, int]:
        """Return which of the files `offset` is in, and where in it; (0, 0) when there is none."""
        index = max(bisect.bisect_right(self.starts, offset) - 1, 0)
        return index, offset - self.starts[index] if self.starts else 0

    def forwards(self, offset: int, end: int) -> Iterator[list[bytes]]:
        """Yield the records from `offset` to `end`, a block at a time."""
        rest = b""
        while offset < end:
            block = self.read(offset, min(BLOCK_BYTES, end - offset))
            if not block:
                return
            offset += len(block)
            *records, rest = (rest + block).split(b"\n")
            yield records

    def backwards(self, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, record) from `end`, where a record begins, towards the start."""
        rest = b""
        while end > 0:
            begin = max(end - BLOCK_BYTES, 0)
            data = self.read(begin, end - begin) + rest
            end = begin
            cut = data.find(b"\n") + 1 if begin else 0
            rest, data = data[:cut], data[cut:]
            if begin and not cut:
                rest, data = data, b""
            found = []
            at = begin + cut
            for record in data.split(b"\n")[:-1]:
                found.append((at, record))
                at += len(record) + 1
            yield from reversed(found)

    def at(self, stamp_ns: int) -> int:
        """Return the offset of the first record that isn't older than `stamp_ns`, by bisection."""
        low, high = 0, self.end
        while low < high:
            middle = (low + high) // 2
            start, end, stamp = self._record_after(middle, high)
            if start >= high or stamp >= stamp_ns:
                high = middle
            else:
                low = end
        return low

    def tail(self, count: int, end: int) -> int:
        """Return an offset behind which at least `count` lines end before `end`."""
        if count <= 0:
            return end
        for offset, record in self.backwards(end):
            kind = _KINDS.get(record[STAMP_BYTES:HEADER_BYTES])
            count -= kind is not None and kind[1]
            if count <= 0:
                return offset
        return 0

    def line_start(self, offset: int) -> int:
        """Return `offset`, or one before it where a line begins that goes on at `offset`."""
        undecided = set(STREAMS)
        start = offset
        for place, record in self.backwards(offset):
            stream, whole = _KINDS.get(record[STAMP_BYTES:HEADER_BYTES], ("", True))
            if stream in undecided and not whole:
                start = place
            else:
                undecided.discard(stream)
            if not undecided or start - place > BLOCK_BYTES or offset - place > MAX_LINE_BYTES:
                break
        return start

    def _record_after(self, offset: int, limit: int) -> tuple[int, int, int]:
        """Return start, end and stamp of the first record that begins at or after `offset`."""
        at, data = max(offset - 1, 0), b""
        begin = 0 if offset == 0 else -1
        while True:
            if begin < 0:
                begin = data.find(b"\n") + 1 or -1
            end = data.find(b"\n", begin) if begin >= 0 else -1
            if end >= 0:
                if is_record(data[begin:end]):
                    return at + begin, at + end + 1, parse_stamp(data[begin : begin + STAMP_BYTES])
                begin = end + 1
                continue
            if begin >= 0 and at + begin >= limit:
                return limit, limit, 0
            more = self.read(at + len(data), BLOCK_BYTES // 4)
            if not more:
                return limit, limit, 0
            data += more


def read_logs(
    directory: Path, *, since_ns: int | None = None, until_ns: int | None = None, tail: int | None = None
) -> Iterator[LogLine]:
    """Yield the lines of a log in order, of the time from `since_ns` to `until_ns`, the last `tail` of them.

    Reads only the part of the files that is asked for. Raises EngineError when a file cannot be read.
    """
    for batch in read_batches(directory, since_ns=since_ns, until_ns=until_ns, tail=tail):
        yield from batch


def read_batches(
    directory: Path, *, since_ns: int | None = None, until_ns: int | None = None, tail: int | None = None
) -> Iterator[list[LogLine]]:
    """Yield what `read_logs` does, as many lines at a time as are in a block; no list is empty."""
    with contextlib.closing(LogFiles(directory)) as run:
        end = run.end if until_ns is None else run.at(until_ns + 1)
        joiner = LineJoiner()
        batches = select_batches(run, joiner, end, since_ns=since_ns, tail=tail)
        if tail is None:
            yield from batches
            if until_ns is None and (rest := joiner.rest()):
                yield rest
            return
        last = deque(itertools.chain.from_iterable(batches), maxlen=max(tail, 0))
        if until_ns is None:
            last.extend(joiner.rest())
        if last:
            yield list(last)


def select_batches(
    run: LogFiles, joiner: LineJoiner, end: int, *, since_ns: int | None, tail: int | None
) -> Iterator[list[LogLine]]:
    """Yield the lines from `since_ns` to the offset `end`; with `tail` at least that many, if there are."""
    start = 0 if since_ns is None else run.at(since_ns)
    if tail is not None:
        start = max(start, run.tail(tail, end))
    for records in run.forwards(run.line_start(start), end):
        lines = joiner.lines(records)
        if since_ns is not None:
            lines = [line for line in lines if line.stamp_ns >= since_ns]
        if lines:
            yield lines


def merge(sources: Mapping[K, Iterable[list[LogLine]]]) -> Iterator[list[tuple[K, LogLine]]]:
    """Yield (key of the source, line) of several logs by stamp, many at a time; a list of each source is in memory."""
    batches = {key: iter(source) for key, source in sources.items()}
    waiting: dict[K, list[LogLine]] = {key: [] for key in batches}
    while True:
        for key, lines in list(waiting.items()):
            if not lines:
                waiting[key] = next(batches[key], [])
                if not waiting[key]:
                    del waiting[key]
        if not waiting:
            return
        # What comes later in any source is newer than this.
        known_ns = min(lines[-1].stamp_ns for lines in waiting.values())
        found: list[tuple[K, LogLine]] = []
        for key, lines in waiting.items():
            count = bisect.bisect_right(lines, known_ns, key=_stamp)
            if lines[-1].stamp_ns == known_ns:
                count = len(lines)
            found.extend(zip(itertools.repeat(key), lines[:count], strict=False))
            waiting[key] = lines[count:]
        found.sort(key=lambda pair: pair[1].stamp_ns)
        yield found


def _stamp(line: LogLine) -> int:
    return line.stamp_ns


def open_files(directory: Path, *, until: tuple[int, int] | None = None) -> list[int]:
    """Return descriptors of a log's files, oldest first; with `until` (device, inode) only what is newer.

    Opened from the newest on: a rotation meanwhile shows a file twice, which is seen, and hides none. After two of
    them a newer file would come where an older one is expected, so a look during which the newest has changed is
    repeated. Raises EngineError.
    """
    for _ in range(_LOOKS):
        fds: list[int] = []
        try:
            newest = _newest(directory)
            _open_until(directory, until, fds)
            if _newest(directory) == newest:
                return fds[::-1]
        except OSError as exc:
            _close(fds)
            if exc.errno == errno.ENOTDIR:
                return []
            raise EngineError(f"log {directory}: cannot read: {exc.strerror}") from exc
        _close(fds)
    raise EngineError(f"log {directory}: cannot read: it is rotated faster than its files can be opened")


def _newest(directory: Path) -> tuple[int, int] | None:
    """Return device and inode of the file that is written to, None between two; raises OSError."""
    try:
        status = os.stat(directory / FILE_NAME, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _open_until(directory: Path, until: tuple[int, int] | None, fds: list[int]) -> None:
    """Open the files, newest first, and add them to `fds`; raises OSError."""
    seen = set()
    number = gaps = 0
    while gaps < _GAPS:
        name = f"{FILE_NAME}.{number}" if number else FILE_NAME
        number += 1
        try:
            fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            gaps += 1
            continue
        status = os.fstat(fd)
        identity = (status.st_dev, status.st_ino)
        if identity in seen or identity == until:
            os.close(fd)
            if identity == until:
                break
            continue
        seen.add(identity)
        fds.append(fd)


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
