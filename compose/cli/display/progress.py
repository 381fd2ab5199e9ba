"""Events on their way to the user: plain lines, JSON lines, nothing, or (console.py) a live view.

Every renderer is a Sink that several threads may call, and is finished once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import IO, Protocol

from pycompose.cli.display import style
from pycompose.engine.dataclass import dataclass, field
from pycompose.events import Event, Phase

DRY_RUN = "DRY-RUN MODE - "


class Renderer(Protocol):
    """A Sink with an end."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        ...

    def finish(self) -> None:
        """Show what is still to be shown; later events are ignored. May be called again."""
        ...


class Quiet:
    """Shows only what went wrong or needs attention."""

    def __init__(self, inner: Renderer | None = None) -> None:
        self._inner = inner

    def __call__(self, event: Event, /) -> None:
        """Pass warnings on, drop the rest (errors are raised by the use case as well)."""
        if self._inner is not None and event.phase is Phase.WARNING:
            self._inner(event)

    def finish(self) -> None:
        """Do nothing."""


class Plain:
    """One line per step: ` Container demo-web-1 Started`. Byte counts alone make no new line."""

    def __init__(self, stream: IO[str], *, dry_run: bool = False, colour: bool = False) -> None:
        self._stream = stream
        self._prefix = DRY_RUN if dry_run else ""
        self._colour = colour
        self._last: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        """Print the event unless it repeats the last text of its subject."""
        line = plain_line(event)
        with self._lock:
            key = (event.parent, event.subject)
            if self._last.get(key) == line:
                return
            self._last[key] = line
            if event.phase is Phase.WARNING:
                line = style.paint(line, style.YELLOW, on=self._colour)
            self._stream.write(f" {self._prefix}{line}\n")
            self._stream.flush()

    def finish(self) -> None:
        """Do nothing: every line is out already."""


def plain_line(event: Event) -> str:
    """Return `Container demo-web-1 Started`, with the details where there are any and the error always."""
    words = [event.subject, event.text]
    if event.details and not (event.total and event.phase is Phase.WORKING):
        words.append(event.details)
    return style.clean(" ".join(word for word in words if word))


class JsonLines:
    """One JSON object per event, with the keys of Compose."""

    def __init__(self, stream: IO[str], *, dry_run: bool = False) -> None:
        self._stream = stream
        self._dry_run = dry_run
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        """Print the event; empty values are left out, as in Compose."""
        value = {
            "dry-run": self._dry_run,
            "id": event.subject,
            "parent_id": event.parent,
            "status": event.phase.value.capitalize(),
            "text": event.text,
            "details": event.details,
            "current": event.current,
            "total": event.total,
            "percent": event.current * 100 // event.total if event.total else 0,
        }
        with self._lock:
            self._stream.write(json.dumps({k: v for k, v in value.items() if v}, ensure_ascii=False) + "\n")
            self._stream.flush()

    def finish(self) -> None:
        """Do nothing: every line is out already."""


@dataclass(slots=True)
class Row:
    """One resource of the live view. Times are of the caller's monotonic clock, in seconds."""

    subject: str
    text: str
    phase: Phase
    begun_s: float
    ended_s: float | None = None
    details: str = ""
    current: int = 0
    total: int = 0
    children: dict[str, Row] = field(default_factory=dict)

    def take(self, event: Event, now_s: float) -> None:
        """Bring the row up to date."""
        if event.phase is Phase.WORKING and self.ended_s is not None:
            self.ended_s = None
        if event.phase is not Phase.WORKING:
            self.ended_s = now_s
        self.text, self.phase, self.details = event.text, event.phase, event.details
        self.current, self.total = event.current, event.total

    def elapsed_s(self, now_s: float) -> float:
        """Return how long the work took, or takes so far."""
        return (self.ended_s if self.ended_s is not None else now_s) - self.begun_s


class Board:
    """The live view's memory: rows in order of appearance, layers below their image; pure but the clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.rows: dict[str, Row] = {}

    def take(self, event: Event) -> None:
        """Put the event into its row."""
        now = self._clock()
        rows = self.rows
        if event.parent:
            parent = rows.get(event.parent)
            if parent is None:
                parent = rows[event.parent] = Row(event.parent, "", Phase.WORKING, now)
            rows = parent.children
        row = rows.get(event.subject)
        if row is None:
            row = rows[event.subject] = Row(event.subject, event.text, event.phase, now)
        row.take(event, now)

    def done(self) -> int:
        """Return how many rows are not at work any more."""
        return sum(row.phase is not Phase.WORKING for row in self.rows.values())

    def now(self) -> float:
        """Return the clock's reading."""
        return self._clock()


def renderer(
    kind: str, stream: IO[str], *, title: str = "", colour: bool = False, dry_run: bool = False
) -> Renderer:
    """Return the renderer for `--progress KIND`; auto is tty exactly when `stream` is a terminal."""
    if kind == "auto":
        kind = "tty" if style.is_terminal(stream) else "plain"
    if kind in ("quiet", "none"):
        return Quiet(Plain(stream, dry_run=dry_run, colour=colour))
    if kind == "json":
        return JsonLines(stream, dry_run=dry_run)
    if kind == "tty" and not dry_run:
        from pycompose.cli.display.live import LiveView  # noqa: PLC0415 - rich only on a terminal

        return LiveView(stream, title=title, colour=colour)
    return Plain(stream, dry_run=dry_run, colour=colour)
