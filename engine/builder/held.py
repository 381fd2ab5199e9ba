"""What was read of small files for the key of a step, held until COPY writes them: each is read once.

So the file that is written is the one whose digest is in the key, whatever happens to it meanwhile.
"""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

# A file with more bytes is read again: it costs more to have in memory than to read.
LARGEST = 64 << 10
MOST_BYTES = 32 << 20
# What the status of a file and its place here take besides its bytes.
_EACH_BYTES = 700


class HeldFile(NamedTuple):
    """One file: what stat(2) said before it was read, and all that was in it."""

    status: os.stat_result
    data: bytes


class Room:
    """How much memory is left for what the builds of one command hold."""

    def __init__(self, size_bytes: int = MOST_BYTES) -> None:
        self._left_bytes = size_bytes
        self._lock = threading.Lock()

    def take(self, size_bytes: int) -> bool:
        """Tell whether there is room, and take it."""
        with self._lock:
            if self._left_bytes < size_bytes:
                return False
            self._left_bytes -= size_bytes
            return True

    def give(self, size_bytes: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left_bytes += size_bytes


class Held:
    """The files of one step, by their paths in the tree that is copied from; those without room aren't here."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken_bytes = 0
        self._files: dict[str, HeldFile] = {}
        self.get = self._files.get

    def put(self, path: str, status: os.stat_result, data: bytes) -> None:
        """Hold a file, unless it has several names (which stay one file) or there is no room."""
        size_bytes = len(data) + _EACH_BYTES
        if status.st_nlink == 1 and path not in self._files and self._room.take(size_bytes):
            self._files[path] = HeldFile(status, data)
            self._taken_bytes += size_bytes

    def close(self) -> None:
        """Hold nothing any more."""
        self._files.clear()
        self._room.give(self._taken_bytes)
        self._taken_bytes = 0
