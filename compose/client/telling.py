"""Tells pages that are open what is being done: builds step by step, live reload, stacks of tests.

A page that is open has a socket, `run/pages/*.news` (unix(7), SOCK_DGRAM); without any, a look for them is all that
this costs. Nothing is waited for, and nothing that goes wrong here is anybody's trouble.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.protocol import short_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.events import Event

SUFFIX = ".news"
# Who performs a command for a page tells it by other means.
UNTOLD_VARIABLE = "PYCOMPOSE_UNTOLD"
# What a datagram may hold (/proc/sys/net/core/wmem_default is 212992).
MOST_BYTES = 100_000


def news_directory(paths: StatePaths) -> Path:
    """Return where the sockets of open pages are."""
    return paths.run / "pages"


class Telling:
    """One piece of work, as it is told. May be called from several threads."""

    def __init__(self, paths: StatePaths, project: str, title: str) -> None:
        self._directory = news_directory(paths)
        self._about = {"project": project, "title": title, "pid": os.getpid(), "work": os.urandom(8).hex()}

    def event(self, event: Event) -> None:
        """Tell one step."""
        if sockets := self._sockets():
            self._send(sockets, {"event": as_progress(event)})

    def steps(self, steps: Iterable[tuple[str, str, str]]) -> None:
        """Tell steps in the words of `--progress json`: what it is about, the status, a text."""
        if sockets := self._sockets():
            for subject, status, text in steps:
                self._send(sockets, {"event": {"id": subject, "status": status, "text": text}})

    def end(self, error: str = "") -> None:
        """Tell the end, and what has gone wrong."""
        if sockets := self._sockets():
            self._send(sockets, {"ended": True, "error": error})

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

    def _sockets(self) -> list[Path]:
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        return [self._directory / name for name in names if name.endswith(SUFFIX)]

    def _send(self, sockets: list[Path], value: dict[str, Any]) -> None:
        import socket  # noqa: PLC0415 - nobody listens, mostly

        data = json.dumps({**self._about, **value}, default=str).encode()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            for path in sockets if len(data) <= MOST_BYTES else ():
                try:
                    with short_path(path) as name:
                        sock.sendto(data, socket.MSG_DONTWAIT, name)
                except ConnectionRefusedError:  # its server was killed
                    path.unlink(missing_ok=True)
                except OSError:
                    continue


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
