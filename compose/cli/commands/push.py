"""`pycompose push`: send the images of services to their registries."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.options import PushOptions


@click.command(help="Push service images.")
@services_argument()
@click.option("--ignore-push-failures", is_flag=True, help="Go on when one fails.")
@click.option("--include-deps", is_flag=True, help="Also what the services depend on.")
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    services: tuple[str, ...],
    *,
    ignore_push_failures: bool,
    include_deps: bool,
    quiet: bool,
) -> None:
    """Push, showing progress."""
    from pycompose.client import images  # noqa: PLC0415 - --help doesn't need it

    loaded = invocation.load()
    options = PushOptions(
        services=services,
        ignore_push_failures=ignore_push_failures,
        include_deps=include_deps,
        quiet=quiet,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("push", kind="quiet" if quiet else None) as sink:
        images.push(invocation.context(sink), project_of(loaded), options)
