"""Where boxes and arrows stand."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from pycompose.policy.layout import BoxSizes, lay_out

SIZES = BoxSizes(width=100, height=40)
NAMES = [f"s{number}" for number in range(12)]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=40))
def test_boxes_lie_apart_and_inside(pairs: list[tuple[str, str]]) -> None:
    needs: dict[str, list[str]] = {name: [] for name in NAMES}
    for source, target in pairs:
        needs[source].append(target)

    found = lay_out(needs, SIZES)

    assert set(found.boxes) == set(NAMES)
    for x, y in found.boxes.values():
        assert x >= 0
        assert y >= 0
        assert x + SIZES.width <= found.width
        assert y + SIZES.height <= found.height
    for (x, y), (other_x, other_y) in combinations(found.boxes.values(), 2):
        assert abs(x - other_x) >= SIZES.width or abs(y - other_y) >= SIZES.height
    assert set(found.arrows) == set(pairs)


def test_arrows_go_to_the_right_and_around_boxes() -> None:
    """`web` needs `db` directly, too: that arrow passes the column of `api` where `api` isn't."""
    found = lay_out({"web": ["api", "db"], "api": ["db"], "db": []}, SIZES)

    assert found.boxes["web"][0] < found.boxes["api"][0] < found.boxes["db"][0]
    start, enters, leaves, end = found.arrows["web", "db"]
    assert start[0] < enters[0] < leaves[0] < end[0]
    assert enters[1] == leaves[1]
    assert abs(enters[1] - (found.boxes["api"][1] + SIZES.height / 2)) >= SIZES.height


def test_a_fan_has_no_crossings() -> None:
    """Whatever the alphabet says, each dependant is beside what it alone needs."""
    found = lay_out({"a": ["z"], "b": ["y"], "c": ["x"]}, SIZES)

    assert [found.boxes[name][1] for name in "abc"] == [found.boxes[name][1] for name in "zyx"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert lay_out({}, SIZES).boxes == {}
