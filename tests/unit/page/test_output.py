"""Lines of containers as the page gets them."""

from __future__ import annotations

import pytest
from pycompose.engine.logs.reader import LogLine
from pycompose.page.output import MOST_BYTES, printed_line


@pytest.mark.parametrize(
    ("data", "text"),
    (
        (b"short", "short"),
        (b"x" * MOST_BYTES, "x" * MOST_BYTES),
        (b"x" * MOST_BYTES + b"end", "x" * MOST_BYTES + "… (3 bytes more: pycompose logs)"),
    ),
)
def test_a_line_that_is_cut_says_so(data: bytes, text: str) -> None:
    assert printed_line("id", LogLine(stamp_ns=5000, stream="stderr", data=data)) == (5, "id", True, text)
