"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.units import (
    format_duration_ns,
    format_float,
    parse_bytes,
    parse_duration,
    parse_duration_ns,
    single,
)


@pytest.mark.parametrize(
    ("text", "size"),
    (
        ("1024", 1024), ("64M", 64 << 20), ("1.5g", 3 << 29), ("10kb", 10240), ("5 kib", 5120), ("1T", 1 << 40),
        (".5k", 512), ("1e3", 1000), ("5b", 5), (7, 7), (-1, -1),
        ("+1m", 1 << 20), ("-0", 0), ("1_000", 1000), ("1.m", 1 << 20),
    ),
)  # fmt: skip
def test_sizes(text: str | int, size: int) -> None:
    """Base 1024, fractions, an optional b or ib."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ("", "m", "-1", "5 . 5", "5kbb", "5ib", "1__0", "1x", " 5", "9" * 30, "1e999")
)
def test_sizes_that_are_none(text: str) -> None:
    """Negative sizes are numbers only; what doesn't fit 64 bits is refused."""
    with pytest.raises(ValueError, match="invalid size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    (
        ("1m30s", 90),
        ("1h5m30s20ms", 3930.02),
        ("0", 0),
        ("1.5s", 1.5),
        ("1w2d", 777600),
        ("-1s", -1),
        ("10us", 1e-5),
    ),
)
def test_durations(text: str, seconds: float) -> None:
    """Units from ns to w, in any order."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ("", "5", "s", "1x", "1s5", ".s", "9" * 400 + "h"))
def test_durations_that_are_none(text: str) -> None:
    """A number needs a unit."""
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_a_printed_duration_is_read_back(value_ns: int) -> None:
    """Go's notation is inside of what is read."""
    assert parse_duration_ns(format_duration_ns(value_ns)) == value_ns


def test_durations_print_as_in_go() -> None:
    """Hours and minutes are spelled out once they are there."""
    texts = [format_duration_ns(int(value)) for value in (0, 5e8, 1.5e9, 9e10, 3.6e12, 1500, 1)]

    assert texts == ["0s", "500ms", "1.5s", "1m30s", "1h0m0s", "1.5µs", "1ns"]


def test_floats_print_as_in_go() -> None:
    """Shortest digits, an exponent below 1e-4 and from 1e6 on."""
    values = (1.0, 1.1, 1e3, 1e20, 0.0001, 0.00001, 123456789.5, float("inf"), float("nan"), -0.0)

    assert [format_float(value) for value in values] == [
        "1", "1.1", "1000", "1e+20", "0.0001", "1e-05", "1.234567895e+08", "+Inf", "NaN", "-0",
    ]  # fmt: skip


def test_single_precision() -> None:
    """0.3333333333 is printed as the nearest 32-bit number."""
    assert single(0.3333333333) == 0.33333334
    assert single(0.5) == 0.5
