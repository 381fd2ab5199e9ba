"""Where the boxes and arrows of a dependency graph stand: columns from left to right, few crossings.

The method is Sugiyama's (1981), in its simplest form: columns by the longest way, an arrow that passes a column gets
a place in it (a "bend"), each column is ordered by the mean of its neighbours' places, back and forth. Pure: the same
graph gives the same picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from pycompose.engine.dataclass import dataclass
from pycompose.policy.graph import generations

SWEEPS = 8

Point = tuple[float, float]
# A node by its name, or the place of an arrow in a column that it passes: (from, to, column).
_Place = str | tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSizes:
    """Of a box, and between boxes; the picture's own unit, which a browser takes for a pixel."""

    width: float
    height: float
    gap_x: float = 96
    gap_y: float = 20
    margin: float = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphLayout:
    """`boxes` has the upper left corner of each node, `arrows` the points of each edge, from the one that needs on."""

    width: float
    height: float
    boxes: dict[str, Point]
    arrows: dict[tuple[str, str], tuple[Point, ...]]


def lay_out(needs: Mapping[str, Iterable[str]], sizes: BoxSizes) -> GraphLayout:
    """Place each node of `needs` and all that they need."""
    edges = [(name, need) for name in sorted(needs) for need in sorted(set(needs[name]))]
    columns = generations(needs)
    column_of = {name: number for number, column in enumerate(columns) for name in column}
    places: list[list[_Place]] = [list(column) for column in columns]
    links: list[tuple[_Place, _Place]] = []
    ways: dict[tuple[str, str], list[_Place]] = {}
    for source, target in edges:
        passed = range(column_of[source] + 1, column_of[target])
        way: list[_Place] = [source, *((source, target, number) for number in passed), target]
        for bend, number in zip(way[1:-1], passed, strict=True):
            places[number].append(bend)
        ways[source, target] = way
        links += itertools.pairwise(way)
    middles = _middles(places, _neighbours(links, column_of), sizes)
    return _drawn(ways, column_of, middles, sizes)


def _neighbours(
    links: Iterable[tuple[_Place, _Place]], column_of: Mapping[str, int]
) -> dict[_Place, dict[int, list[_Place]]]:
    """Return for each place what it is linked with, by column."""
    found: dict[_Place, dict[int, list[_Place]]] = {}
    for one, other in links:
        for here, there in ((one, other), (other, one)):
            found.setdefault(here, {}).setdefault(_column(there, column_of), []).append(there)
    return found


def _column(place: _Place, column_of: Mapping[str, int]) -> int:
    return column_of[place] if isinstance(place, str) else place[2]


def _middles(
    places: list[list[_Place]], neighbours: Mapping[_Place, Mapping[int, list[_Place]]], sizes: BoxSizes
) -> dict[_Place, float]:
    """Return how far down the middle of each place is: near its neighbours, and apart from those above and below it."""
    step = sizes.height + sizes.gap_y
    middles = {place: number * step for column in places for number, place in enumerate(column)}
    numbers = list(range(len(places)))
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for number in numbers if forward else reversed(numbers):
            beside = number - 1 if forward else number + 1
            wanted = {}
            for place in places[number]:
                near = [middles[other] for other in neighbours.get(place, {}).get(beside, [])]
                wanted[place] = sum(near) / len(near) if near else middles[place]
            places[number].sort(key=lambda place: (wanted[place], str(place)))
            middles |= _apart(places[number], wanted, step)
    top = min(middles.values(), default=0.0)
    return {place: middle - top for place, middle in middles.items()}


def _apart(column: list[_Place], wanted: Mapping[_Place, float], step: float) -> dict[_Place, float]:
    """Return places in their order, `step` from each other at least, around where they want to be."""
    placed: list[float] = []
    for place in column:
        placed.append(max(wanted[place], placed[-1] + step) if placed else wanted[place])
    shift = sum(wanted[p] - y for p, y in zip(column, placed, strict=True)) / max(len(column), 1)
    return {place: y + shift for place, y in zip(column, placed, strict=True)}


def _drawn(
    ways: Mapping[tuple[str, str], list[_Place]],
    column_of: Mapping[str, int],
    middles: Mapping[_Place, float],
    sizes: BoxSizes,
) -> GraphLayout:
    def left(place: _Place) -> float:
        return sizes.margin + _column(place, column_of) * (sizes.width + sizes.gap_x)

    def middle(place: _Place) -> float:
        return sizes.margin + sizes.height / 2 + middles[place]

    arrows = {}
    for edge, (source, *bends, target) in ways.items():
        points = [(left(source) + sizes.width, middle(source))]
        for bend in bends:
            points += [(left(bend), middle(bend)), (left(bend) + sizes.width, middle(bend))]
        arrows[edge] = (*points, (left(target), middle(target)))
    last = max(column_of.values(), default=0)
    return GraphLayout(
        width=2 * sizes.margin + (last + 1) * sizes.width + last * sizes.gap_x,
        height=2 * sizes.margin + sizes.height + max(middles.values(), default=0.0),
        boxes={name: (left(name), sizes.margin + middles[name]) for name in column_of},
        arrows=arrows,
    )
