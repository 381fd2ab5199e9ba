"""`pycompose pull`: get the images of services."""

from __future__ import annotations

from typing import Any

import click
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import dry_run_option, retired_option, services_argument
from pycompose.client.options import PullOptions


@click.command(help="Pull service images.")
@services_argument()
@click.option("--ignore-buildable", is_flag=True, help="Not those that can be built.")
@click.option("--ignore-pull-failures", is_flag=True, help="Go on when one fails.")
@click.option("--include-deps", is_flag=True, help="Also what the services depend on.")
@click.option("--policy", type=click.Choice(["missing", "always"]), help="Which to pull (default: always).")
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@retired_option("--parallel")
@retired_option("--no-parallel")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], **flags: Any) -> None:
    """Pull, showing progress."""
    from pycompose.client import images  # noqa: PLC0415 - --help doesn't need it

    loaded = invocation.load()
    quiet = flags["quiet"]
    options = PullOptions(
        services=services,
        ignore_buildable=flags["ignore_buildable"],
        ignore_pull_failures=flags["ignore_pull_failures"],
        include_deps=flags["include_deps"],
        policy=flags["policy"] or "",
        quiet=quiet,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("pull", kind="quiet" if quiet else None) as sink:
        images.pull(invocation.context(sink), project_of(loaded), options)
