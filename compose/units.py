"""Sizes, durations and processor counts as compose files write them, and back as Docker Compose prints them.

Compose specification, 11-extension.md ("Specifying durations", "Specifying byte values"): durations as str2duration
reads them (also d and w), bytes with base 1024 and optional fractions.
"""

from __future__ import annotations

import re

_DIGITS = "[0-9]+(?:_[0-9]+)*"
_BYTES = re.compile(
    rf"(?P<number>[-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:e[-+]?[0-9]{{1,3}})?)"
    r" ?(?:(?P<unit>[kmgtp])(?:i?b)?|b)?\Z",
    re.ASCII | re.IGNORECASE,
)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION_PART = re.compile(r"(?P<number>[0-9]*\.?[0-9]*)(?P<unit>ns|us|µs|μs|ms|s|m|h|d|w)", re.ASCII)
_NS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1000_000,
    "s": 1000_000_000,
    "m": 60_000_000_000,
    "h": 3600_000_000_000,
    "d": 24 * 3600_000_000_000,
    "w": 7 * 24 * 3600_000_000_000,
}
_NS_PER_S = 1_000_000_000
_INT64 = 2**63


_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def parse_bool(text: str) -> bool:
    """Return what Go's strconv.ParseBool makes of a text. Raises ValueError."""
    if text not in _BOOLEANS:
        raise ValueError(f'"{text}" is not a boolean: true or false')
    return _BOOLEANS[text]


def parse_bytes(text: str | float) -> int:
    """Return bytes for "1.5g", "64M", "10kb", "1024" or 1024 (base 1024). Raises ValueError.

    The text is what Go's ParseFloat reads, without its hexadecimal numbers. -1 is unlimited, and only a number may
    be negative.
    """
    if isinstance(text, (int, float)):
        return int(text)
    found = _BYTES.match(text)
    if not found:
        raise ValueError(f"invalid size: {text!r}")
    from decimal import Decimal  # noqa: PLC0415 - few files have any, and the import takes 2 ms

    size = Decimal(found["number"].replace("_", "")) * 1024 ** _POWERS[(found["unit"] or "").lower()]
    if size < 0:
        raise ValueError(f"invalid size: {text!r} is negative")
    if size >= _INT64:
        raise ValueError(f"invalid size: {text[:60]!r} is too large")
    return int(size)


def parse_duration_ns(text: str) -> int:
    """Return nanoseconds for "1h5m30s20ms" (units ns us ms s m h d w); "0" needs no unit. Raises ValueError."""
    body = text
    sign = 1
    if body[:1] in ("-", "+"):
        sign = -1 if body[0] == "-" else 1
        body = body[1:]
    if body == "0":
        return 0
    from decimal import Decimal  # noqa: PLC0415 - as above

    total, position = 0, 0
    while position < len(body):
        found = _DURATION_PART.match(body, position)
        if not found or found["number"] in ("", "."):
            raise ValueError(f"invalid duration: {text!r}")
        total += int(Decimal(found["number"]) * _NS[found["unit"]])
        position = found.end()
    if not body:
        raise ValueError(f"invalid duration: {text!r}")
    if total >= _INT64:
        raise ValueError(f"invalid duration: {text[:60]!r} is longer than 292 years")
    return sign * total


def parse_duration(text: str) -> float:
    """Return seconds for a compose duration such as "1m30s". Raises ValueError."""
    return parse_duration_ns(text) / _NS_PER_S


def format_duration_ns(value_ns: int) -> str:
    """Return Go's text of a duration: "1h0m0s", "1m30s", "1.5s", "500ms", "0s"."""
    if value_ns == 0:
        return "0s"
    sign, rest = ("-", -value_ns) if value_ns < 0 else ("", value_ns)
    if rest < _NS_PER_S:
        for unit, size in (("ms", 1_000_000), ("µs", 1000), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, seconds_ns = divmod(rest, 60 * _NS_PER_S)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(seconds_ns, _NS_PER_S)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, unit: int) -> str:
    """Return value / unit, exact, without trailing zeros."""
    whole, part = divmod(value, unit)
    if not part:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{part:0{digits}d}".rstrip("0")


def format_float(value: float) -> str:
    """Return a float as Go's %v prints it: "1", "1.1", "1e+06", "+Inf"."""
    if value != value:  # noqa: PLR0124 - NaN is the one value that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    from decimal import Decimal  # noqa: PLC0415 - as above

    exact = Decimal(repr(value))
    if not exact:
        return "-0" if repr(value)[0] == "-" else "0"
    sign, digits, _ = exact.as_tuple()
    exponent = exact.adjusted()
    if -4 <= exponent < 6:
        text = format(exact, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    figures = "".join(map(str, digits)).rstrip("0")
    body = figures[0] + ("." + figures[1:] if len(figures) > 1 else "")
    return f"{'-' if sign else ''}{body}e{'+' if exponent >= 0 else '-'}{abs(exponent):02d}"


def single(value: float) -> float:
    """Round to a 32-bit float and give the shortest decimal that means it, as Go prints float32 values."""
    import struct  # noqa: PLC0415 - few files have any

    narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    for digits in range(1, 10):
        text = f"{narrow:.{digits}g}"
        if struct.unpack("f", struct.pack("f", float(text)))[0] == narrow:
            return float(text)
    return narrow


def stamp_ns(text: str) -> int:
    """Return an RFC 3339 time as nanoseconds since the epoch, 0 for "" or anything else."""
    import datetime as dt  # noqa: PLC0415 - few commands need it

    head, dot, rest = text.partition(".")
    fraction = ""
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        fraction, head = rest[:digits][:9], head + rest[digits:]
    try:
        moment = dt.datetime.fromisoformat(head)
    except ValueError:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0") or "0")
