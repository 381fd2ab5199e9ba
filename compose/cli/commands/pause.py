"""`pycompose pause`: freeze the processes of containers."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.options import PauseOptions


@click.command(help="Pause services.")
@services_argument()
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...]) -> None:
    """Freeze."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = PauseOptions(
        services=services,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("pause") as sink:
        changes.pause(invocation.context(sink), name, loaded, options)
