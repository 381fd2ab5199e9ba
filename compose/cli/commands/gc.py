"""`pycompose gc`: take test stacks down that nobody owns any more."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option


@click.command(
    help="Take down test stacks whose owner has died, and with --kept those left behind on purpose."
)
@click.option("--kept", is_flag=True, help="Also those left behind on purpose.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, *, kept: bool) -> None:
    """Print the name of each."""
    from pycompose.testing.collect import collect  # noqa: PLC0415 - --help doesn't need it

    with invocation.showing("gc") as sink:
        names = collect(invocation.context(sink), kept=kept, dry_run=invocation.dry_run)
    for name in names:
        print(name)
