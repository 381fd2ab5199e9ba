"""The supervisor's log: a file of bounded size, and one older one."""

from __future__ import annotations

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
