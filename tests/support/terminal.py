"""A program that runs while the test goes on: on pipes, or on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from dataclasses import dataclass, field

from tests.support.leftovers import PATIENCE

# Colours, cursor movements, modes (ECMA-48 control sequences); what remains is the text as it was written.
_ERASED = re.compile(r"\r?\x1b\[2?K")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass(kw_only=True)
class Running:
    """A started program, what it has written so far, and the ways to talk to it.

    With a terminal `output` has both streams; without one it has stdout, and `errors` has stderr. Both are
    plain text, without what only a terminal sees.
    """

    process: subprocess.Popen[bytes]
    command: str
    terminal: int = -1
    output: str = ""
    errors: str = ""
    _raw: dict[int, bytes] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Find the descriptors to read."""
        if self.terminal >= 0:
            self._open = {self.terminal}
            return
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._open = {self.process.stdout.fileno(), self.process.stderr.fileno()}

    def expect(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """Read until `pattern` is found in the output (or in stderr), and return the match."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while True:
            for text in (self.output, self.errors):
                if match := re.search(pattern, text, re.MULTILINE):
                    return match
            if not self._open or not self._read(deadline - time.monotonic()):
                why = f"not within {timeout_s} s" if self._open else "and the output has ended"
                raise AssertionError(f"{self.command}: no {pattern!r}, {why}\n{self.transcript()}")

    def wait(self, timeout_s: float = 20.0) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while self.process.poll() is None and self._open:
            # Whoever inherited the pipe may hold it open: the process decides, not the end of the output.
            self._read(min(0.1, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(
                    f"{self.command}: still running after {timeout_s} s\n{self.transcript()}"
                )
        while self._open and self._read(0):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def sleep(self, seconds: float) -> None:
        """Read for `seconds`, so that the program never blocks on a full pipe meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self._open or not self._read(left):
                time.sleep(max(0.0, deadline - time.monotonic()))

    def send(self, text: str) -> None:
        """Type `text` on the terminal, or write it to stdin."""
        if self.terminal >= 0:
            os.write(self.terminal, text.encode())
            return
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def interrupt(self) -> None:
        """Press Ctrl+C; without a terminal, SIGINT."""
        if self.terminal >= 0:
            os.write(self.terminal, b"\x03")
        else:
            self.process.send_signal(signal.SIGINT)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal; its foreground group gets SIGWINCH."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def kill(self) -> None:
        """Kill the program and forget it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Kill what still runs and close every descriptor."""
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        self._open = set()

    def transcript(self) -> str:
        """Return everything read so far, for a message."""
        return f"--- output\n{self.output}\n--- errors\n{self.errors}"

    def _read(self, timeout_s: float) -> bool:
        """Read once what is there; False when nothing came in time."""
        ready, _w, _x = select.select(list(self._open), [], [], max(0.0, timeout_s))
        for fd in ready:
            try:
                data = os.read(fd, 65536)
            except OSError:  # EIO: the last one has closed the terminal
                data = b""
            if not data:
                self._open.discard(fd)
            self._raw[fd] = self._raw.get(fd, b"") + data
            text = _ERASED.sub("\n", self._raw[fd].decode(errors="replace"))
            text = _ESCAPES.sub("", text).replace("\r\n", "\n")
            if self.process.stderr is not None and fd == self.process.stderr.fileno():
                self.errors = text
            else:
                self.output = text
        return bool(ready)
