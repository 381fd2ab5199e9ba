"""Events on their way to the user: plain lines, JSON lines, nothing, or (live.py) a live view.

Every renderer is a Sink that several threads may call, and is finished once.
"""

from __future__ import annotations

import json
import threading
from typing import IO, TYPE_CHECKING, Protocol

from pycompose.cli.display import style
from pycompose.cli.display.steplines import StepLines
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from pycompose.client.telling import Telling

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


class Tee:
    """Shows events here, and tells them to pages that are open."""

    def __init__(self, shown: Renderer, telling: Telling) -> None:
        self._shown = shown
        self._telling = telling

    def __call__(self, event: Event, /) -> None:
        """Pass the event on to both."""
        self._shown(event)
        self._telling.event(event)

    def finish(self) -> None:
        """Show what is still to be shown; the end is told by who has begun."""
        self._shown.finish()


class PlainRenderer:
    """One line per step: ` Container demo-web-1 Started`. Byte counts alone make no new line.

    The steps of builds are shown on `steps`.
    """

    def __init__(
        self, stream: IO[str], *, steps: IO[str] | None = None, dry_run: bool = False, colour: bool = False
    ) -> None:
        self._stream = stream
        self._steps = StepLines(lambda text: self._print(steps or stream, text))
        self._prefix = DRY_RUN if dry_run else ""
        self._colour = colour
        self._last: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        """Print the event unless it repeats the last text of its subject."""
        if event.number:
            self._steps.take(event)
            return
        line = plain_line(event)
        with self._lock:
            key = (event.parent, event.subject)
            if self._last.get(key) == line:
                return
            self._last[key] = line
            if event.phase is Phase.WARNING:
                line = style.paint(line, style.YELLOW, on=self._colour)
        self._print(self._stream, f" {self._prefix}{line}")

    def _print(self, stream: IO[str], text: str) -> None:
        with self._lock:
            stream.write(f"{text}\n")
            stream.flush()

    def finish(self) -> None:
        """Show what steps of builds have still to say."""
        self._steps.finish()


def plain_line(event: Event) -> str:
    """Return `Container demo-web-1 Started`, with the details where there are any and the error always."""
    words = [event.subject, event.text]
    if event.details and not (event.total and event.phase is Phase.WORKING):
        words.append(event.details)
    return style.clean(" ".join(word for word in words if word))


class JsonRenderer:
    """One JSON object per event, with the keys of Compose."""

    def __init__(self, stream: IO[str], *, steps: IO[str] | None = None, dry_run: bool = False) -> None:
        self._stream = stream
        self._steps = steps or stream
        self._dry_run = dry_run
        self._lock = threading.Lock()

    def __call__(self, event: Event, /) -> None:
        """Print the event; empty values are left out, as in Compose, which passes on BuildKit's records of steps."""
        if event.record is not None:
            self._write(event.record, self._steps)
            return
        value: dict[str, object] = {
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
        self._write({k: v for k, v in value.items() if v}, self._stream)

    def _write(self, value: dict[str, object], stream: IO[str]) -> None:
        with self._lock:
            stream.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
            stream.flush()

    def finish(self) -> None:
        """Do nothing: every line is out already."""


class RawRenderer(JsonRenderer):
    """Only BuildKit's records of the steps of a build, a line each."""

    def __call__(self, event: Event, /) -> None:
        """Print the record, if there is one."""
        if event.record is not None:
            super().__call__(event)


class LoggedRenderer:
    """Has all shown by another one, and the steps of builds written down: `build >log` on a terminal."""

    def __init__(self, inner: Renderer, log: IO[str]) -> None:
        self._inner = inner
        self._log = PlainRenderer(log)

    def __call__(self, event: Event, /) -> None:
        """Pass the event on."""
        if event.number:
            self._log(event)
        self._inner(event)

    def finish(self) -> None:
        """Finish both."""
        self._inner.finish()
        self._log.finish()


def renderer(
    kind: str,
    stream: IO[str],
    *,
    steps: IO[str] | None = None,
    title: str = "",
    colour: bool = False,
    dry_run: bool = False,
) -> Renderer:
    """Return the renderer for `--progress KIND`; auto is tty exactly when `stream` is a terminal.

    Lines and records of the steps of builds go to `steps`.
    """
    if kind == "auto":
        kind = "tty" if style.is_terminal(stream) else "plain"
    if kind in ("quiet", "none"):
        return QuietRenderer(PlainRenderer(stream, dry_run=dry_run, colour=colour))
    if kind == "json":
        return JsonRenderer(stream, steps=steps, dry_run=dry_run)
    if kind == "rawjson":
        return RawRenderer(stream, steps=steps)
    if kind == "tty" and not dry_run:
        from pycompose.cli.display.live import LiveView  # noqa: PLC0415 - rich only on a terminal

        view = LiveView(stream, title=title, colour=colour)
        return view if steps is None or style.is_terminal(steps) else LoggedRenderer(view, steps)
    return PlainRenderer(stream, steps=steps, dry_run=dry_run, colour=colour)
