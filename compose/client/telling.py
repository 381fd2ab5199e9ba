"""Tells pages that are open what is being done: builds step by step, live reload, stacks of tests.

A page that is open has a socket, `run/pages/*.news` (unix(7), SOCK_SEQPACKET: datagrams would be lost after the tenth
that its server hasn't read, net.unix.max_dgram_qlen); without any, a look for them is all that this costs. What a busy
server doesn't take yet waits here, and the end of a piece of work waits for a moment that it be taken. Nothing that
goes wrong here is anybody's trouble.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.protocol import short_path

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.events import Event

SUFFIX = ".news"
# Who performs a command for a page tells it by other means.
UNTOLD_VARIABLE = "PYCOMPOSE_UNTOLD"
# What a message may hold (/proc/sys/net/core/wmem_default is 212992).
MOST_BYTES = 100_000
# For a server that doesn't read: the oldest go first.
MOST_WAITING = 10_000
END_WAIT_S = 1.0


def news_directory(paths: StatePaths) -> Path:
    """Return where the sockets of open pages are."""
    return paths.run / "pages"


class _Line:
    """The connection to one page, and what its server hasn't taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)

    def add(self, data: bytes) -> None:
        """Send a message, or have it wait. Raises OSError when the server is gone."""
        self._waiting.append(data)
        self._send()

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                self._sock.send(self._waiting[0])
                self._waiting.popleft()

    def finish(self, until: float) -> None:
        """Send what waits; give up at that time of time.monotonic(). Raises OSError when the server is gone."""
        import select  # noqa: PLC0415 - nobody listens, mostly

        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        while self._waiting and (left_s := until - time.monotonic()) > 0:
            poll.poll(left_s * 1000)
            self._send()

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Telling:
    """One piece of work, as it is told. May be called from several threads."""

    def __init__(self, paths: StatePaths, project: str, title: str) -> None:
        self._directory = news_directory(paths)
        self._about = {"project": project, "title": title, "pid": os.getpid(), "work": os.urandom(8).hex()}
        self._errors: dict[str, str] = {}
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def event(self, event: Event) -> None:
        """Tell one step."""
        if names := self._sockets():
            self._tell(names, {"event": as_progress(event)})

    def steps(self, steps: Iterable[tuple[str, str, str]]) -> None:
        """Tell steps in the words of `--progress json`: what it is about, the status, a text."""
        names = self._sockets()
        for subject, status, text in steps:
            self._errors.pop(subject, None)
            if status == "Error":
                self._errors[subject] = text
            if names:
                self._tell(names, {"event": {"id": subject, "status": status, "text": text}})

    @property
    def errors(self) -> str:
        """The steps whose last status was "Error", in words."""
        return ", ".join(f"{subject}: {text}" for subject, text in self._errors.items())

    def end(self, error: str = "") -> None:
        """Tell the end, and what has gone wrong."""
        if names := self._sockets():
            self._tell(names, {"ended": True, "error": error})
        until = time.monotonic() + END_WAIT_S
        with self._lock:
            for line in self._lines.values():
                with contextlib.suppress(OSError):
                    line.finish(until)
                line.close()
            self._lines.clear()

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        """Tell the beginning and the end of a block, and what it raises."""
        self.steps([("", "", "")])
        try:
            yield
        except PycomposeError as exc:
            self.end(exc.message)
            raise
        except BaseException as exc:
            self.end(str(exc) or "interrupted")
            raise
        self.end()

    def _sockets(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._directory) if name.endswith(SUFFIX)]
        except OSError:
            return []

    def _tell(self, names: list[str], value: dict[str, Any]) -> None:
        data = json.dumps({**self._about, **value}, default=str).encode()
        if len(data) > MOST_BYTES:
            return
        with self._lock:
            for name in names:
                try:
                    if name not in self._lines:
                        self._lines[name] = _Line(_connected(self._directory / name))
                    self._lines[name].add(data)
                except OSError:
                    if line := self._lines.pop(name, None):
                        line.close()


def _connected(path: Path) -> socket.socket:
    """Return a socket that is connected to a page's; one whose server was killed is removed. Raises OSError."""
    import socket  # noqa: PLC0415 - nobody listens, mostly

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with short_path(path) as name:
            sock.connect(name)
    except OSError as exc:
        sock.close()
        if isinstance(exc, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        raise
    return sock


def as_progress(event: Event) -> dict[str, Any]:
    """Return an event as `--progress json` has it, a step of a build as BuildKit's record."""
    if event.record is not None:
        return event.record
    return {
        "id": event.subject,
        "parent_id": event.parent,
        "status": event.phase.value.capitalize(),
        "text": event.text,
        "details": event.details,
        "percent": event.current * 100 // event.total if event.total else 0,
    }
