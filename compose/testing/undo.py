"""Faults as something that can be undone, and how their sizes are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from pycompose.engine.errors import PycomposeError
from pycompose.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(bit|bps|b)?\Z", re.IGNORECASE)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


class Fault:
    """Something that is broken until `undo`, or the end of its block."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo = undo
        self.undone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def undo(self) -> None:
        """Mend it. Can be repeated."""
        if not self.undone:
            self.undone = True
            self._undo()


class Broken:
    """The faults that are on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Remember a fault until it is undone, and return it."""
        self._faults = [*self.now(), fault]
        return fault

    def now(self) -> tuple[Fault, ...]:
        """Return those that nobody has undone, the latest last."""
        return tuple(fault for fault in self._faults if not fault.undone)

    def mend(self) -> None:
        """Undo all, the latest first. Raises, when all have been tried, the first PycomposeError."""
        errors = []
        for fault in reversed(self.now()):
            try:
                fault.undo()
            except PycomposeError as exc:
                errors.append(exc)
        if errors:
            raise errors[0]


def nanoseconds(text: str | float) -> int:
    """Return a duration ("50ms", or seconds as a number). Raises PycomposeError."""
    try:
        seconds = float(text) if isinstance(text, (int, float)) else parse_duration(text)
    except ValueError:
        seconds = -1
    if seconds < 0 or text is True:
        raise PycomposeError(f"duration {text!r}: not understood", hint='for example "50ms"')
    return int(seconds * 1e9)


def share(percent: float) -> float:
    """Return a percentage as a part of 1. Raises PycomposeError."""
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 <= percent <= 100:
        raise PycomposeError(f"loss {percent!r}: not a percentage", hint="0 to 100, for example 5")
    return percent / 100


def bytes_per_second(text: str | int) -> int:
    """Return a rate in bytes per second: "1mbit" is a million bits, a number is bits. Raises PycomposeError."""
    found = _RATE.match(str(text).strip())
    if found is None or float(found[1]) <= 0:
        raise PycomposeError(f"rate {text!r}: not understood", hint='for example "1mbit"')
    return max(int(float(found[1]) * _FACTORS[found[2].lower()] / 8), 1)
