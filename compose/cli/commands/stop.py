"""`pycompose stop`: stop containers without removing them."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument, timeout_option
from pycompose.client.options import StopOptions


@click.command(help="Stop services.")
@services_argument()
@timeout_option()
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], *, timeout: float | None) -> None:
    """Stop, dependants first."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = StopOptions(
        services=services,
        timeout_s=timeout,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("stop") as sink:
        changes.stop(invocation.context(sink), name, loaded, options)
