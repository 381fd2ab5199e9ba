"""Times, durations and scales as people type them."""

from __future__ import annotations

import click
import pytest
from pycompose.cli.options import ScaleType, moment_ns, seconds

NOW = 2_000_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "value"), (("10", 10.0), ("1.5", 1.5), ("1m30s", 90.0), ("250ms", 0.25), ("2h", 7200.0))
)
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ("", "abc", "1m30", "5 m", "-"))
def test_bad_seconds(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("2023-11-14T22:13:20Z", 1_700_000_000 * 10**9),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123456789),
        ("2023-11-14T22:13:20.5+01:00", 1_699_996_400_500000000),
        ("1700000000", 1_700_000_000 * 10**9),
        ("1700000000.25", 1_700_000_000_250000000),
        ("42m", NOW - 42 * 60 * 10**9),
        ("1h30m", NOW - 5400 * 10**9),
    ),
)
def test_moments(text: str, value: int) -> None:
    """RFC 3339 with nanoseconds, seconds since 1970, and "so long ago"."""
    assert moment_ns(text, NOW) == value


@pytest.mark.parametrize("text", ("yesterday", "2023-13-01", ""))
def test_bad_moments(text: str) -> None:
    with pytest.raises(ValueError):
        moment_ns(text, NOW)


def test_scale() -> None:
    assert ScaleType().convert("web=3", None, None) == ("web", 3)


@pytest.mark.parametrize("text", ("web", "web=", "=3", "web=-1", "web=x", "web=²"))
def test_bad_scale(text: str) -> None:
    with pytest.raises(click.BadParameter, match="SERVICE=NUM"):
        ScaleType().convert(text, None, None)
