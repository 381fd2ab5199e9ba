"""`pycompose scale web=3`: change the number of containers."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import ScaleType, dry_run_option
from pycompose.client.options import ScaleOptions


@click.command(help="Scale services.")
@click.argument("scale", nargs=-1, required=True, type=ScaleType(), metavar="SERVICE=NUM...")
@click.option("--no-deps", is_flag=True, help="Without what the services depend on.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, scale: tuple[tuple[str, int], ...], *, no_deps: bool) -> None:
    """Bring each service to its number."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    loaded = invocation.load(tuple(name for name, _ in scale))
    options = ScaleOptions(
        scale=scale, no_deps=no_deps, dry_run=invocation.dry_run, parallel=invocation.parallel
    )
    with invocation.showing("scale") as sink:
        changes.scale(invocation.context(sink), loaded, options)
