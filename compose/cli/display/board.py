"""What the live view shows, as data: one row per resource, and what has become of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from pycompose.engine.dataclass import dataclass, field
from pycompose.events import Event, Phase


@dataclass(slots=True)
class ProgressRow:
    """One resource of the live view. Times are of the caller's monotonic clock, in seconds."""

    subject: str
    text: str
    phase: Phase
    begun_s: float
    ended_s: float | None = None
    details: str = ""
    current: int = 0
    total: int = 0
    children: dict[str, ProgressRow] = field(default_factory=dict)

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


class ProgressBoard:
    """The live view's memory: rows in order of appearance, layers below their image; pure but the clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.rows: dict[str, ProgressRow] = {}

    def take(self, event: Event) -> None:
        """Put the event into its row."""
        now = self._clock()
        rows = self.rows
        if event.parent:
            parent = rows.get(event.parent)
            if parent is None:
                parent = rows[event.parent] = ProgressRow(event.parent, "", Phase.WORKING, now)
            rows = parent.children
        row = rows.get(event.subject)
        if row is None:
            row = rows[event.subject] = ProgressRow(event.subject, event.text, event.phase, now)
        row.take(event, now)

    def done(self) -> int:
        """Return how many rows are not at work any more."""
        return sum(row.phase is not Phase.WORKING for row in self.rows.values())

    def now(self) -> float:
        """Return the clock's reading."""
        return self._clock()
