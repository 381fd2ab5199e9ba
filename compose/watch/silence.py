"""Waiting until nobody says anything more: a save is often several changes, and a checkout thousands."""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass

# How long nothing more is asked for before it is done, and how long that is waited for.
QUIET_S = 0.05
PATIENCE_S = 1.0


@dataclass(slots=True)
class Silence:
    """A time in which nothing is asked for, all in seconds of the monotonic clock."""

    first_s: float = 0.0
    last_s: float = 0.0

    def broken(self, now_s: float, *, first: bool) -> None:
        """Note that something is asked for, `first` while nothing else was."""
        self.first_s = now_s if first else self.first_s
        self.last_s = now_s

    def left_s(self, now_s: float) -> float:
        """Return how long there is to wait until it is done."""
        return min(self.last_s + QUIET_S, self.first_s + PATIENCE_S) - now_s
