"""`pycompose down`: end the project; works without a compose file when the project is named."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument, timeout_option
from pycompose.client.options import DownOptions


@click.command(help="Stop and remove containers and networks.")
@services_argument()
@click.option("--remove-orphans", is_flag=True, help="Also containers of services that aren't in the file.")
@click.option("--rmi", type=click.Choice(["local", "all"]), default=None, help="Also the services' images.")
@timeout_option()
@click.option("-v", "--volumes", is_flag=True, help="Also named volumes of the file, and anonymous volumes.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    services: tuple[str, ...],
    *,
    remove_orphans: bool,
    rmi: str | None,
    timeout: float | None,
    volumes: bool,
) -> None:
    """End the project, showing the steps."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = DownOptions(
        services=services,
        remove_orphans=remove_orphans or invocation.switch("COMPOSE_REMOVE_ORPHANS"),
        rmi=rmi or "",
        timeout_s=timeout,
        volumes=volumes,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("down") as sink:
        changes.down(invocation.context(sink), name, loaded, options)
