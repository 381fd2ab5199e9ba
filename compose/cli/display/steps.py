"""What a build has done, once it is over: why steps were made, and a table of all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pycompose.cli.display import table
from pycompose.cli.display.humanize import size
from pycompose.cli.display.style import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.build.steplog import StepRow


def show_steps(rows: Sequence[StepRow], *, explain: bool, verbose: bool) -> None:
    """Print on standard error, where progress goes too: the standard output may be an image."""
    text = (explained(rows) if explain else "") + (steps_table(rows) if verbose else "")
    print(text, end="", file=sys.stderr, flush=True)


def explained(rows: Sequence[StepRow]) -> str:
    """Return why each step that wasn't cached was made, a line each; or that all were."""
    made = [f"{row.title}: {row.reason}" for row in rows if row.reason]
    if rows and not made:
        made = ["everything was in the cache"]
    return "".join(f"{clean(line)}\n" for line in made)


def steps_table(rows: Sequence[StepRow]) -> str:
    """Return step, time, cached, size as a table, "" without steps."""
    lines = [
        (
            row.title,
            f"{row.took_s:.1f}s",
            row.cached,
            size(row.size_bytes) if row.has_size else "-",
        )
        for row in rows
    ]
    return table.render([("STEP", "TIME", "CACHED", "SIZE"), *lines]) if lines else ""
