"""Standard error as people need it: what can't be told there is lost, and what it was about goes on.

A full disk under `up 2>log` is no reason to leave containers half made. A pipe that nobody reads ends the command all
the same, as it would any other (SIGPIPE).
"""

from __future__ import annotations

import errno
import io
from typing import Any, TextIO

_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class _LossyFile(io.FileIO):
    """A file that takes what it has no room for."""

    def write(self, data: Any, /) -> int:
        """Write all that can be written of `data`; raises OSError for what isn't the file's state."""
        try:
            return super().write(data)
        except OSError as exc:
            if exc.errno not in _LOST:
                raise
            return memoryview(data).nbytes


def lossy(stream: TextIO) -> TextIO:
    """Return a stream to the same descriptor, with the same encoding and buffering."""
    raw = _LossyFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        stream.encoding,
        stream.errors,
        line_buffering=bool(stream.line_buffering),
        write_through=bool(getattr(stream, "write_through", False)),
    )
