"""Which items of a list without duplicates are the same; the answers are Docker Compose's."""

from __future__ import annotations

from typing import Any

import pytest
from pycompose.config.duplicates import duplicates


@pytest.mark.parametrize(
    ("text", "number"),
    (
        *[(text, 10) for text in ("010", "1e1", "1E+1", "+10", "10.", "10.0", "20/2", "012/1", "0o12/1", "1_0")],
        *[(text, 16) for text in ("0x10", "0x_10")],
        *[(text, 8) for text in ("0o10", "0x1p3", "1p3", "0x10/2", "010/1", "0x10/0x2")],
        *[(text, 10) for text in ("0b1e1", "0o1e1", "0_10")],
        *[("0b10", 2), ("-1", -1), ("-0", 0), ("1E2", 100)],
    ),
)  # fmt: skip
def test_a_text_is_the_later_number_that_it_spells(text: str, number: int) -> None:
    """All spellings that Go's big.Rat reads; the other way round they are two items."""
    assert list(duplicates([text, number])) == [(1, 0)]
    assert list(duplicates([number, text])) == []


@pytest.mark.parametrize(
    "text", (" 10", "10/+1", "1__0", "_10", "1e", "1/0", "१०", "1e1/1", "0b12", "", "/", "a/b")
)
def test_other_texts_are_no_number(text: str) -> None:
    """They equal themselves only."""
    assert list(duplicates([text, 10, 1, 0])) == []
    assert list(duplicates([text, text])) == [(1, 0)]


@pytest.mark.parametrize(
    ("items", "found"),
    (
        (["80", "080"], []),
        ([80, 80.0], [(1, 0)]),
        ([1, True, "true", None], []),
        ([{"a": "1", "b": [2]}, {"b": [2], "a": 1}], [(1, 0)]),
        ([{"a": 1, "b": "2"}, {"a": "1", "b": 2}], []),
        ([{"a": 1}, {"a": 1, "b": 1}], []),
        ([float("inf"), "+Inf", float("inf")], [(2, 0)]),
        (["a", "b", "a", "a"], [(2, 0), (3, 0)]),
        (["1e999999999", 10, "1e-999999999"], []),
        (["9" * 5000, 1], []),
    ),
)
def test_items_are_compared_as_a_whole(items: list[Any], found: list[tuple[int, int]]) -> None:
    """Strings letter by letter, numbers by value, mappings and lists by what is in them; nothing takes long."""
    assert list(duplicates(items)) == found
