"""`pycompose kill`: send a signal to containers."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.options import KillOptions


@click.command(help="Force stop services.")
@services_argument()
@click.option(
    "-s", "--signal", default="SIGKILL", metavar="SIGNAL", help="Signal to send (default: SIGKILL)."
)
@click.option("--remove-orphans", is_flag=True, help="Also containers of services that aren't in the file.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, services: tuple[str, ...], *, signal: str, remove_orphans: bool
) -> None:
    """Send the signal."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = KillOptions(
        services=services,
        signal=signal,
        remove_orphans=remove_orphans or invocation.switch("COMPOSE_REMOVE_ORPHANS"),
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("kill") as sink:
        found = changes.kill(invocation.context(sink), name, loaded, options)
    if not found:
        invocation.remark("No container to kill")
