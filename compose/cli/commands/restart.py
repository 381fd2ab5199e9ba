"""`pycompose restart`: stop and start containers; changes of the compose file are not picked up."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument, timeout_option
from pycompose.client.options import RestartOptions


@click.command(help="Restart services.")
@services_argument()
@click.option("--no-deps", is_flag=True, help="Leave dependants alone.")
@timeout_option()
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, services: tuple[str, ...], *, no_deps: bool, timeout: float | None
) -> None:
    """Restart in order."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = RestartOptions(
        services=services,
        no_deps=no_deps,
        timeout_s=timeout,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("restart") as sink:
        changes.restart(invocation.context(sink), name, loaded, options)
