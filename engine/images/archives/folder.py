"""An image's files in a folder, as an OCI layout that other tools read where it lies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 30


class FolderArchive:
    """Takes the files of a layout (save.Archive); what has the names already is replaced, whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add_directory(self, name: bytes) -> None:
        """Make a directory. Raises OSError."""
        (self._folder / os.fsdecode(name)).mkdir(exist_ok=True)

    def add_content(self, name: bytes, file: int, size: int) -> None:
        """Write the `size` bytes of `file`. Raises OSError."""
        temporary = self._folder / f"{os.fsdecode(name)}.part"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            done = 0
            while done < size and (sent := os.sendfile(fd, file, done, min(size - done, _PIECE))):
                done += sent
        finally:
            os.close(fd)
        temporary.rename(self._folder / os.fsdecode(name))

    def add_bytes(self, name: bytes, data: bytes) -> None:
        """Write a small file. Raises OSError."""
        temporary = self._folder / f"{os.fsdecode(name)}.part"
        temporary.write_bytes(data)
        temporary.rename(self._folder / os.fsdecode(name))
