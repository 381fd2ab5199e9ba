"""Logs that are sent away line by line, and kept in a file of bounded size for `logs`: Docker's "dual logging"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.logs.writer import STREAMS, LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.engine.logs.sender import Sender

# A longer line is sent in pieces, as Docker does (moby daemon/logger/copier.go).
MAX_LINE_BYTES = 16 * 1024


class LineSplitter:
    """Cuts what was read into lines, which may have come in several reads."""

    def __init__(self) -> None:
        self._rest = dict.fromkeys(STREAMS, b"")

    def split(self, stream: str, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield the lines that end in `data`, and whether each goes on in the next: a piece of a long one."""
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        self._rest[stream] = b""
        for line in lines:
            while len(line) > MAX_LINE_BYTES:
                yield line[:MAX_LINE_BYTES], True
                line = line[MAX_LINE_BYTES:]  # noqa: PLW2901 - what is left of it
            yield line, False
        while len(rest) > MAX_LINE_BYTES:
            yield rest[:MAX_LINE_BYTES], True
            rest = rest[MAX_LINE_BYTES:]
        self._rest[stream] = rest

    def rest(self) -> Iterator[tuple[str, bytes]]:
        """Yield what has no newline yet, with its stream."""
        for stream, data in self._rest.items():
            if data:
                yield stream, data
        self._rest = dict.fromkeys(STREAMS, b"")


class RemoteLog:
    """A LogDriver: `encode` makes the message of a stream, a line, and whether the line goes on in the next one."""

    def __init__(self, encode: Callable[[str, bytes, bool], bytes], sender: Sender, cache: LogWriter) -> None:
        self._encode = encode
        self._sender = sender
        self._cache = cache
        self._lines = LineSplitter()

    def write(self, stream: str, data: bytes) -> None:
        """Keep and send what was read from `stream`; a line that isn't finished waits for its end."""
        self._cache.write(stream, data)
        if self._sender.lost and self._sender.idle:
            lost, self._sender.lost = self._sender.lost, 0
            text = f"pycompose: {lost} lines left out: the log server did not take them"
            self._send("stderr", text.encode(), partial=False)
        for line, partial in self._lines.split(stream, data):
            self._send(stream, line, partial=partial)

    def finish(self) -> None:
        """Send what has no newline yet, because its process is gone."""
        self._cache.finish()
        for stream, line in self._lines.rest():
            self._send(stream, line, partial=False)
        self._sender.finish()

    def close(self) -> None:
        """Close everything; what `finish` has left to be sent is sent all the same."""
        self._cache.close()
        self._sender.close()

    def _send(self, stream: str, line: bytes, *, partial: bool) -> None:
        if line:  # empty ones are not worth a message to Docker either
            self._sender.send(self._encode(stream, line, partial))
