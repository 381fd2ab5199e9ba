"""The supervisor's log, and its journal of events: each a file of bounded size, and one older one."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 2 * 1024 * 1024


class LogFile(logging.FileHandler):
    """Begins a new file when `most_bytes` are written; what the interpreter itself says (descriptor 2) goes along.

    logging.handlers has such a class, and costs 8 ms to import.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(path, encoding="utf-8")
        self._most_bytes = most_bytes
        self._redirect()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a disk that can't be written loses it, and nothing else."""
        super().emit(record)
        try:
            if self.stream is not None and self.stream.tell() > self._most_bytes:
                os.replace(self.baseFilename, f"{self.baseFilename}.1")
                self.stream.close()
                self.stream = self._open()
                self._redirect()
        except (OSError, ValueError):
            self.handleError(record)

    def _redirect(self) -> None:
        if self.stream is not None:
            os.dup2(self.stream.fileno(), 2)


class EventJournal:
    """One JSON object per line, appended to a file that stays open; what can't be written is lost."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """`path` is renamed to the same name with the suffix ".1" when it has more than `most_bytes`."""
        self._path = path
        self._most_bytes = most_bytes
        self._size = 0
        self._fd = -1

    def append(self, value: object) -> None:
        """Write one line."""
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        try:
            if self._fd >= 0 and self._size > self._most_bytes:
                self.close()
                self._path.replace(self._path.with_suffix(".1"))
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
                self._size = os.fstat(self._fd).st_size
            self._size += os.write(self._fd, line)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
