"""The log file of a container: its line format, and the writer that rotates it.

```
DIRECTORY/container.log, container.log.1 (older), …
2026-11-24T04:00:00.123456789Z stdout F a whole line, or the last piece of one
2026-11-24T04:00:00.123456789Z stdout P the first piece of a line that goes on
```
That is the format of Kubernetes' CRI logs: one record per physical line, a header of fixed width, any bytes
but newline behind it. Stamps are UTC; all lines of one read share theirs, and the next read's is greater,
whatever the clock does. Reading: reader.py.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.config import ContainerConfig, LogConfig
    from pycompose.engine.paths import StatePaths

FILE_NAME = "container.log"
STREAMS = ("stdout", "stderr")
STAMP_BYTES = 30
HEADER_BYTES = 40
PIECE_BYTES = 64 * 1024
MIN_FILE_BYTES = 1024
WHOLE, PART = b"F", b"P"
_TAG = HEADER_BYTES - 2
_KINDS = frozenset(b" %s %s " % (stream.encode(), tag) for stream in STREAMS for tag in (WHOLE, PART))
_TAIL_BYTES = 2 * (PIECE_BYTES + HEADER_BYTES + 1)
_DAYS_TO_EPOCH = 719_468


def is_kept(config: LogConfig) -> bool:
    """Tell whether `logs` has something to read."""
    return config.driver != "none" and config.cache


def log_directory(paths: StatePaths, config: ContainerConfig) -> Path:
    """Return where the files are that a container's output is followed by.

    Where nothing is kept they are in memory and small, for who is attached at that time.
    """
    return paths.container(config.id) / "log" if is_kept(config.log) else paths.container_run(config.id)


def format_stamp(stamp_ns: int) -> bytes:
    """Return the 30 bytes of a time in nanoseconds since 1970 (RFC 3339, UTC)."""
    seconds, rest = divmod(stamp_ns, 1_000_000_000)
    at = time.gmtime(seconds)
    return (
        b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ"
        % (at.tm_year, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec, rest)
    )  # fmt: skip


def parse_stamp(text: bytes) -> int:
    """Return the nanoseconds of what `format_stamp` returned; raises ValueError."""
    if len(text) != STAMP_BYTES or text[29:] != b"Z":
        raise ValueError(f"{text!r} is not a log stamp")
    return _seconds(text[:20]) * 1_000_000_000 + int(text[20:29])


@lru_cache(maxsize=16)
def _seconds(text: bytes) -> int:
    """Return the seconds since 1970 of a stamp's first 20 bytes, which many lines share; raises ValueError."""
    if text[4::3][:5] != b"--T::" or text[19:] != b".":
        raise ValueError(f"{text!r} is not the beginning of a log stamp")
    year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # years that begin in March
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1
    minutes = ((days - _DAYS_TO_EPOCH) * 24 + int(text[11:13])) * 60 + int(text[14:16])
    return minutes * 60 + int(text[17:19])


def is_record(line: bytes) -> bool:
    """Tell whether `line`, without its newline, has a whole header."""
    if line[STAMP_BYTES:HEADER_BYTES] not in _KINDS:
        return False
    try:
        parse_stamp(line[:STAMP_BYTES])
    except ValueError:
        return False
    return True


class LogWriter:
    """Writes one container's log file and rotates it: the drivers json-file and local.

    A full disk doesn't stop a container: what cannot be written is counted in `lost_bytes` and dropped.
    """

    def __init__(self, directory: Path, config: LogConfig) -> None:
        """Open the log to append, repairing the torn last line of a writer that was killed.

        Raises EngineError for a directory that cannot be written.
        """
        self.lost_bytes = 0
        self._path = directory / FILE_NAME
        self._max_bytes = max(config.max_bytes, MIN_FILE_BYTES) if config.max_bytes > 0 else 0
        self._max_files = max(config.max_files, 1)
        self._fd: int | None = None
        self._size = 0
        self._last_ns = 0
        self._open_lines: set[str] = set()
        try:
            make_directory(directory)
            self._recover(self._open())
        except OSError as exc:
            raise EngineError(f"log {self._path}: cannot open: {exc.strerror}") from exc

    def write(self, stream: str, data: bytes) -> None:
        """Append what was read from `stream` ("stdout", "stderr"): any bytes, not necessarily whole lines."""
        if not data:
            return
        stamp = self._stamp()
        for start in range(0, len(data), PIECE_BYTES):
            self._append(self._encode(stamp, stream, data[start : start + PIECE_BYTES]))

    def finish(self) -> None:
        """End the lines that have no newline yet, because their process is gone."""
        for stream in sorted(self._open_lines):
            self._append(b"%s %s F \n" % (self._stamp(), stream.encode()))
        self._open_lines.clear()
        if self.lost_bytes:
            print(
                f"log {self._path}: {self.lost_bytes} bytes could not be written", file=sys.stderr, flush=True
            )

    def close(self) -> None:
        """Close everything; a line that isn't finished goes on in the next writer."""
        self._close_file()

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _stamp(self) -> bytes:
        self._last_ns = max(time.time_ns(), self._last_ns + 1)
        return format_stamp(self._last_ns)

    def _encode(self, stamp: bytes, stream: str, data: bytes) -> bytes:
        """Return the records of `data`, made by one replace: no work per line in Python."""
        header = b"%s %s F " % (stamp, stream.encode())
        end = data.rfind(b"\n")
        out = header + data[:end].replace(b"\n", b"\n" + header) + b"\n" if end >= 0 else b""
        if end == len(data) - 1:
            self._open_lines.discard(stream)
            return out
        self._open_lines.add(stream)
        return b"%s%s P %s\n" % (out, header[:-3], data[end + 1 :])

    def _append(self, records: bytes) -> None:
        while self._max_bytes and self._size + len(records) > self._max_bytes:
            cut = records.rfind(b"\n", 0, max(self._max_bytes - self._size, 0)) + 1
            if cut:
                self._put(records[:cut])
                records = records[cut:]
            if not records:
                return
            if cut or self._size:
                self._rotate()
            else:
                records = self._split_first(records)
        self._put(records)

    def _split_first(self, records: bytes) -> bytes:
        """Return `records` with the first one, too long for a whole file, cut in two."""
        at = self._max_bytes - 1
        header = records[:HEADER_BYTES]
        return header[:_TAG] + PART + b" " + records[HEADER_BYTES:at] + b"\n" + header + records[at:]

    def _put(self, records: bytes) -> None:
        """Write whole records or none of them."""
        done = 0
        try:
            fd = self._open() if self._fd is None else self._fd
            while done < len(records):
                done += os.write(fd, records[done:] if done else records)
            self._size += len(records)
        except OSError:
            self.lost_bytes += len(records)
            if done and self._fd is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size
        return self._fd

    def _rotate(self) -> None:
        """Shift container.log to .1, .1 to .2, …; readers that have a file open keep it."""
        self._close_file()
        free = 1
        while free < self._max_files - 1 and os.path.exists(self._name(free)):
            free += 1
        try:
            for n in range(min(free, self._max_files - 1), 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self._name(n - 1), self._name(n))
            if self._max_files == 1:
                self._path.unlink(missing_ok=True)
            self._open()
        except OSError:
            self._size = 0  # the next write tries again to open it

    def _name(self, number: int) -> str:
        return f"{self._path}.{number}" if number else str(self._path)

    def _recover(self, fd: int) -> None:
        """Repair the end of the file, and learn the last stamp and the lines that are not finished."""
        start = max(self._size - _TAIL_BYTES, 0)
        tail = os.pread(fd, _TAIL_BYTES, start)
        *lines, torn = tail.split(b"\n")
        if torn and is_record(torn):
            os.write(fd, b"\n")
            self._size += 1
            lines.append(torn)
        elif torn:
            self._size -= len(torn)
            os.ftruncate(fd, self._size)
        for line in filter(is_record, lines):
            self._last_ns = max(self._last_ns, parse_stamp(line[:STAMP_BYTES]))
            stream = line[STAMP_BYTES + 1 : _TAG - 1].decode()
            if line[_TAG : _TAG + 1] == PART:
                self._open_lines.add(stream)
            else:
                self._open_lines.discard(stream)
