"""`pycompose doctor`: what this kernel and this user can do, what that limits, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from pycompose.cli.display import table
from pycompose.cli.display.format import dumps
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option
from pycompose.doctor.rows import ASK_ROOT, State
from pycompose.engine.paths import StatePaths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.doctor.rows import Row


@click.command(help="Show what this machine and this user can do, and how to mend what they can't.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, *, as_json: bool) -> int:
    """Print the verdicts; return 1 when something needed is missing."""
    from pycompose.doctor.examine import examine  # noqa: PLC0415 - --help doesn't need it
    from pycompose.doctor.verdicts import verdicts  # noqa: PLC0415 - --help doesn't need it

    environment = invocation.environment
    rows = verdicts(examine(StatePaths.from_environment(environment), environment))
    whole = all(row.state is not State.MISSING for row in rows)
    if as_json:
        click.echo(dumps({"ok": whole, "checks": [row.to_json() for row in rows]}))
    else:
        click.echo(text(rows), nl=False)
    return 0 if whole else 1


def text(rows: Sequence[Row]) -> str:
    """Return the table: below each check that isn't whole what it limits, and what to do."""
    lines = [["CHECK", "STATE", "FOUND"]]
    for row in rows:
        lines.append([row.check, row.state.value, row.found])
        lines += [["", "", f"limits: {row.limits}"]] if row.limits else []
        lines += [["", "", f"to mend: {row.mend}"]] if row.limits else []
    some = any(row.state is State.UNKNOWN for row in rows)
    return table.render(lines) + (f"\nunknown: {ASK_ROOT}\n" if some else "")
