"""Tables in Docker's layout: a header in capitals, columns padded with spaces, no lines.

Go's text/tabwriter as Docker sets it: columns of at least 10 and of the widest cell plus three; `ls`
and `images` use 20. The last column is never padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycompose.cli.display.style import clean

PADDING = 3
MINIMUM = 10
WIDE = 20


def width(text: str) -> int:
    """Return how many terminal cells `text` takes; wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - almost never needed

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def render(rows: Iterable[Sequence[str]], *, padding: int = PADDING, minimum: int = MINIMUM) -> str:
    """Return the rows as lines, each column as wide as its widest cell plus `padding`, at least `minimum`."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    count = max(len(row) for row in cells)
    widths = [
        max(minimum, padding + max((width(row[index]) for row in cells if index < len(row)), default=0))
        for index in range(count - 1)
    ]
    lines = []
    for row in cells:
        padded = [cell + " " * (widths[index] - width(cell)) for index, cell in enumerate(row[:-1])]
        lines.append("".join([*padded, *row[-1:]]))
    return "\n".join(lines) + "\n"
