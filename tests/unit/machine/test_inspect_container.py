"""The small parts of `inspect` and of the filters."""

from __future__ import annotations

import pytest
from pycompose.cli.groups import label_filters, pairs
from pycompose.engine.errors import PycomposeError
from pycompose.machine.inspect_container import NEVER, stamp
from pycompose.machine.rows import matches_labels


def test_moments_are_gos() -> None:
    """Nanoseconds in full, year 1 for never."""
    assert stamp(0) == NEVER
    assert stamp(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


@pytest.mark.parametrize(
    ("wanted", "fits"),
    (("a", True), ("a=1", True), ("a=2", False), ("b", True), ("b=", True), ("b=1", False), ("c", False)),
)
def test_labels_match_by_key_or_by_value(wanted: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """KEY says that it is there, KEY=VALUE what it is."""
    assert matches_labels({"a": "1", "b": ""}, wanted) is fits


def test_pairs_and_filters() -> None:
    """A key alone has no value; prune knows labels only."""
    assert pairs(["a=1", "b", "c=x=y"]) == {"a": "1", "b": "", "c": "x=y"}
    assert label_filters(["label=a", "label=b=c"]) == ("a", "b=c")
    for text in ("until=1h", "label"):
        with pytest.raises(PycomposeError, match="cannot be used"):
            label_filters([text])
