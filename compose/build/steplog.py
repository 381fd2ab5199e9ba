"""What builds tell, on its way to the screen: BuildKit's plain lines, its records, rows of a live view."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import threading
from typing import TYPE_CHECKING

from pycompose.engine.builder.request import (
    ADVICE,
    CACHED,
    CANCELED,
    DONE,
    FAILED,
    NEVER,
    NOTE,
    OUTPUT,
    STARTED,
    WARNING,
    BuildEvent,
)
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import ImageError
from pycompose.engine.images.reference import parse
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from pycompose.engine.builder.request import OnEvent
    from pycompose.events import Sink

_PHASES = {
    STARTED: Phase.WORKING,
    OUTPUT: Phase.WORKING,
    NOTE: Phase.WORKING,
    CACHED: Phase.DONE,
    DONE: Phase.DONE,
    FAILED: Phase.ERROR,
    CANCELED: Phase.WARNING,
}
_CACHED = {CACHED: "yes", DONE: "no", FAILED: "failed", CANCELED: "canceled"}
_TEXTS = {CACHED: "CACHED", FAILED: "ERROR", CANCELED: "CANCELED"}


@dataclass(slots=True, kw_only=True)
class StepRow:
    """One step of a table: what has become of it. `state` is the kind of its last event."""

    service: str
    title: str
    state: str = ""
    took_s: float = 0.0
    size_bytes: int = 0
    reason: str = ""

    @property
    def is_base(self) -> bool:
        """Whether it is only what a stage starts from."""
        return self.title.partition("] ")[2].startswith("FROM ")

    @property
    def cached(self) -> str:
        """Whether it came from the cache: yes or no; what has become of it when it isn't there; "-" for a base."""
        return "-" if self.is_base else _CACHED.get(self.state, "-")

    @property
    def has_size(self) -> bool:
        """Whether a layer has come of it."""
        return self.cached in ("yes", "no")


@dataclass(slots=True)
class _Shown:
    """A step that something has been told of."""

    number: int
    row: StepRow
    started: str = ""
    # What has no line's end yet, by stream.
    rest: dict[int, str] = field(default_factory=dict)


class StepLog:
    """Takes the events of all builds of a command; the steps are added to `rows` as they are heard of.

    With `quiet` nothing is shown but warnings.
    """

    def __init__(self, sink: Sink, rows: list[StepRow], *, several: bool, quiet: bool) -> None:
        self._sink = sink
        self._rows = rows
        self._several = several
        self._quiet = quiet
        self._lock = threading.Lock()
        self._steps: dict[tuple[str, int], _Shown] = {}
        self._numbers = itertools.count(1)
        # Base images: their numbers by what names their content, and which services have shown them.
        self._bases: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._advice: dict[str, None] = {}

    def finish(self) -> None:
        """Say what lint has found, as BuildKit does at a build's end."""
        found, self._advice = list(self._advice), {}
        if found:
            title = f"{len(found)} warning{'s' if len(found) > 1 else ''} found (use --check to expand):"
            self._sink(Event(subject=title, text="", phase=Phase.WARNING))
        for text in found:
            self._sink(Event(subject=f"- {text}", text="", phase=Phase.WARNING))

    def of(self, service: str, subject: str) -> OnEvent:
        """Return what takes the events of one service's build."""

        def take(event: BuildEvent) -> None:
            if event.kind == WARNING:
                self._sink(Event(subject=subject, text="Warning", phase=Phase.WARNING, details=event.data))
                return
            if event.kind == ADVICE:
                self._advice[f"{event.data} ({event.title})" if self._several else event.data] = None
                return
            with self._lock:  # lines of a step stay in order
                shown = self._heard(service, event)
                if shown is not None and not self._quiet:
                    self._sink(_event(subject, shown, event))

        return take

    def _heard(self, service: str, event: BuildEvent) -> _Shown | None:
        """Return the step of an event; None for a base image that the service's build has shown already."""
        key = (service, event.step)
        if key not in self._steps:
            if event.base:  # BuildKit has one vertex for all that start from it
                if (service, event.key) in self._told:
                    return None
                self._told.add((service, event.key))
            number = self._bases.get(event.key) or next(self._numbers)
            if event.base:
                self._bases[event.key] = number
            self._steps[key] = _Shown(number, StepRow(service=service, title=_title(service, event)))
            if not event.is_preparation:
                self._rows.append(self._steps[key].row)
        shown = self._steps[key]
        row = shown.row
        if event.kind == STARTED:
            row.reason = event.reason
        elif event.kind not in (OUTPUT, NOTE):
            row.state, row.took_s, row.size_bytes = event.kind, event.took_s, event.size_bytes
        return shown


def _title(service: str, event: BuildEvent) -> str:
    """Return a step's title with its service, as Compose has it: `[web base 2/3] RUN …`, `[web] exporting to image`."""
    title = event.title
    if event.base:
        title = title.replace(f"FROM {event.base}", f"FROM {whole_name(event.base)}")
    if not service:
        return title
    return f"[{service} {title[1:]}" if title.startswith("[") else f"[{service}] {title}"


def whole_name(name: str) -> str:
    """Return an image's name with its registry and tag; as it is where it has none."""
    try:
        return parse(name).key
    except ImageError:
        return name


def _event(subject: str, shown: _Shown, event: BuildEvent) -> Event:
    last = event.data.strip().rpartition("\n")[2] if event.kind == OUTPUT else ""
    return Event(
        parent=subject,
        subject=shown.row.title,
        text=_TEXTS.get(event.kind, ""),
        phase=_PHASES[event.kind],
        details=last or (shown.row.reason if event.kind == STARTED else ""),
        log="\n".join(_lines(shown, event)),
        number=shown.number,
        record=_record(shown, event),
    )


# ---------------------------------------------------------------------- BuildKit's plain lines


def _lines(shown: _Shown, event: BuildEvent) -> list[str]:
    """Return `0.123 output`, `DONE 0.2s`; and, ours, why a step is made again: `because: …`."""
    if event.kind == OUTPUT:
        *lines, rest = (shown.rest.pop(event.stream, "") + event.data).split("\n")
        if rest:
            shown.rest[event.stream] = rest
        return [f"{event.took_s:.3f} {line}" for line in lines]
    if event.kind == NOTE:
        return [f"{event.data} done"]
    if event.kind == STARTED:
        return [f"because: {event.reason}"] if event.reason and event.reason != NEVER else []
    if event.kind == CACHED:
        return ["CACHED"]
    ends = [f"{event.took_s:.3f} {rest}" for rest in shown.rest.values()]
    shown.rest.clear()
    words = {DONE: f"DONE {event.took_s:.1f}s", FAILED: f"ERROR: {event.data}", CANCELED: "CANCELED"}
    return [*ends, words[event.kind]]


# ---------------------------------------------------------------------- BuildKit's records


def _record(shown: _Shown, event: BuildEvent) -> dict[str, object]:
    """Return a SolveStatus of BuildKit as `--progress rawjson` prints it (client/graph.go)."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    digest = event.key if event.key.startswith("sha256:") else f"sha256:{event.key:0>64}"
    if event.kind == OUTPUT:
        data = base64.b64encode(event.data.encode()).decode("ascii")
        return {"logs": [{"vertex": digest, "stream": event.stream, "data": data, "timestamp": now}]}
    shown.started = shown.started or now
    vertex: dict[str, object] = {"digest": digest, "name": shown.row.title, "started": shown.started}
    if event.kind == NOTE:
        done = {"started": now, "completed": now, "timestamp": now}
        return {"statuses": [{"id": event.data, "vertex": digest, **done}]}
    if event.kind != STARTED:
        vertex["completed"] = now
    if event.kind == CACHED:
        vertex["cached"] = True
    elif event.kind == FAILED:
        vertex["error"] = event.data
    elif event.kind == CANCELED:
        vertex["error"] = "context canceled"
    return {"vertexes": [vertex]}
