"""Mappings of ids: nobody is somebody else by mistake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pycompose.engine.linux.idmap import extents

LAST = 2**32 - 2
SINGLE = st.dictionaries(st.integers(0, 40), st.integers(0, 40), max_size=6).filter(
    lambda found: len(set(found.values())) == len(found)
)


@given(SINGLE)
def test_all_others_are_who_they_are(wanted: dict[int, int]) -> None:
    """But for those whose place is taken, on either side."""
    seen = {
        disk + step: outside + step
        for disk, outside, count in extents([(disk, outside, 1) for disk, outside in wanted.items()])
        for step in range(min(count, 100))
    }

    for number in range(60):
        involved = number in wanted or number in wanted.values()
        assert seen.get(number) == (wanted.get(number) if involved else number)
    assert len(set(seen.values())) == len(seen)


def test_up_to_the_last_id() -> None:
    assert extents([(1000, 33, 2)]) == [
        (0, 0, 33),
        (35, 35, 965),
        (1000, 33, 2),
        (1002, 1002, LAST - 1002 + 1),
    ]
    assert extents([(0, LAST, 1)]) == [(0, LAST, 1), (1, 1, LAST - 1)]
