"""Events on their way to the user: plain lines, JSON lines, nothing, or (live.py) a live view.

Every renderer is a Sink that several threads may call, and is finished once.
"""

from __future__ import annotations

import json
import threading
from typing import IO, Protocol

from pycompose.cli.display import style
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


class QuietRenderer:
    """Shows only what went wrong or needs attention."""

    def __init__(self, inner: Renderer | None = None) -> None:
        self._inner = inner

    def __call__(self, event: Event, /) -> None:
        """Pass warnings on, drop the rest (errors are raised by the use case as well)."""
        if self._inner is not None and event.phase is Phase.WARNING:
            self._inner(event)

    def finish(self) -> None:
        """Do nothing."""


class PlainRenderer:
    """One line per step: ` Container demo-web-1 Started`. Byte counts alone make no new line."""

    def __init__(self, stream: IO[str], *, dry_run: bool = False, colour: bool = False) -> None:
        self._stream = stream
        self._prefix = DRY_RUN if dry_run else ""
        self._colour = colour
        self._last: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        """Print the event unless it repeats the last text of its subject."""
        if event.log:
            with self._lock:
                self._stream.write(style.clean(event.log) + "\n")
                self._stream.flush()
            return
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


class JsonRenderer:
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
            "log": event.log,
            "percent": event.current * 100 // event.total if event.total else 0,
        }
        with self._lock:
            self._stream.write(json.dumps({k: v for k, v in value.items() if v}, ensure_ascii=False) + "\n")
            self._stream.flush()

    def finish(self) -> None:
        """Do nothing: every line is out already."""


def renderer(
    kind: str, stream: IO[str], *, title: str = "", colour: bool = False, dry_run: bool = False
) -> Renderer:
    """Return the renderer for `--progress KIND`; auto is tty exactly when `stream` is a terminal."""
    if kind == "auto":
        kind = "tty" if style.is_terminal(stream) else "plain"
    if kind in ("quiet", "none"):
        return QuietRenderer(PlainRenderer(stream, dry_run=dry_run, colour=colour))
    if kind == "json":
        return JsonRenderer(stream, dry_run=dry_run)
    if kind == "tty" and not dry_run:
        from pycompose.cli.display.live import LiveView  # noqa: PLC0415 - rich only on a terminal

        return LiveView(stream, title=title, colour=colour)
    return PlainRenderer(stream, dry_run=dry_run, colour=colour)
