"""`pycompose start`: start containers that exist."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.options import StartOptions


@click.command(help="Start services.")
@services_argument()
@click.option("--wait", is_flag=True, help="Until running or healthy.")
@click.option(
    "--wait-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this time."
)
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, services: tuple[str, ...], *, wait: bool, wait_timeout: float | None
) -> None:
    """Start, dependencies first."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = StartOptions(
        services=services,
        wait=wait,
        wait_timeout_s=wait_timeout,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("start") as sink:
        changes.start(invocation.context(sink), name, loaded, options)
