"""The typing table of plain scalars, as go-yaml resolves them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycompose.config.scalars import Timestamp, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("y", "y"), ("NO", "NO"),
        ("true", True), ("False", False), ("~", None), ("", None), ("null", None), ("nULL", "nULL"),
        ("22:22", "22:22"), ("1e3", 1000.0), ("0o17", 15), ("010", 8), ("0x1F", 31), ("0b11", 3), ("1_000", 1000),
        ("08", 8.0), ("-5", -5), ("+5", 5), (".5", 0.5), ("1.", 1.0), ("1.10", 1.1), ("=", "="), ("-", "-"),
        ("1.2.3", "1.2.3"), ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0), ("0x" + "f" * 17, "0x" + "f" * 17), ("٣", "٣"),
    ),
)  # fmt: skip
def test_plain_scalars(text: str, value: object) -> None:
    """Each text has the value and the type that go-yaml gives it."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", ("2020-01-01", "2020-1-1", "2020-01-01T00:00:00Z", "2020-01-01 10:00:00"))
def test_dates_are_recognized(text: str) -> None:
    """They are an error later, which needs to know them."""
    assert isinstance(resolve(text), Timestamp)


@given(st.text(alphabet="0123456789+-._eExXoObB:TZ ", max_size=40) | st.text())
def test_any_text_has_a_value(text: str) -> None:
    """Nothing is raised, whatever a scalar looks like."""
    resolve(text)
