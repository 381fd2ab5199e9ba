"""Files that others have taken the place of: let go together, beside the writing of more.

With the last descriptor of a file its blocks are freed, which takes milliseconds where the file system tells the disk
so (ext4's `discard`): longer than all the rest of a save.
"""

from __future__ import annotations

import os
import resource
import threading

# So many descriptors are held, and as many are being closed: of those that a process may have.
LOT = max(1, min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4))
NOTHING = -1


class Displaced:
    """The descriptors of such files."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._thread: threading.Thread | None = None

    def hold(self, fd: int) -> None:
        """Take a descriptor over, or NOTHING."""
        if fd == NOTHING:
            return
        self._held.append(fd)
        if len(self._held) >= LOT:
            self._join()
            self._thread = threading.Thread(target=_close, args=(self._held,), name="displaced", daemon=True)
            self._thread.start()
            self._held = []

    def let_go(self) -> None:
        """Close all of them; return when they are."""
        _close(self._held)
        self._held = []
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
