"""Durations as Go writes them (time.ParseDuration, time.Duration.String)."""

from __future__ import annotations

import re

_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}  # fmt: skip
_MOST_NS = (1 << 63) - 1  # an int64
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_go_duration(text: str) -> float | None:
    """Return seconds, None for what is no duration. A number needs a unit, but "0" does not."""
    body = text.lstrip("+-")
    if body == "0":
        return 0.0
    total, at = 0.0, 0
    while at < len(body):
        match = _PART.match(body, at)
        if match is None:
            return None
        total += float(match[1]) * _UNITS_NS[match[2]]
        at = match.end()
    if not body or total > _MOST_NS:
        return None
    return (-total if text.startswith("-") else total) / 1e9


def go_duration(seconds: float) -> str:
    """Return a duration as Go prints it: "1m30s", "1.5s", "20ms", "0s"."""
    left = round(seconds * 1e9)
    if left == 0:
        return "0s"
    if left < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000)):
            if left >= size:
                return f"{left / size:.9f}".rstrip("0").rstrip(".") + unit
        return f"{left}ns"
    hours, left = divmod(left, _UNITS_NS["h"])
    minutes, left = divmod(left, _UNITS_NS["m"])
    shown = f"{left / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown
