"""`pycompose create`: make containers without starting them."""

from __future__ import annotations

import sys
from typing import Any

import click
from pycompose.cli.commands.up import refuse
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import ScaleType, dry_run_option, image_flags, recreate_flags, services_argument
from pycompose.client.options import CreateOptions


@click.command(help="Create containers for services.")
@services_argument()
@image_flags()
@recreate_flags()
@click.option("--scale", type=ScaleType(), multiple=True, metavar="SERVICE=NUM", help="Number of containers.")
@click.option("-y", "--yes", is_flag=True, help="Answer every question with yes.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> None:
    """Create, showing the steps."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it

    refuse(args)
    loaded = invocation.load(args["services"])
    options = CreateOptions(
        services=args["services"],
        build=args["build"],
        no_build=args["no_build"],
        pull=args["pull"] or "",
        quiet_pull=args["quiet_pull"],
        quiet_build=args["quiet_build"],
        force_recreate=args["force_recreate"],
        no_recreate=args["no_recreate"],
        remove_orphans=args["remove_orphans"] or invocation.switch("COMPOSE_REMOVE_ORPHANS"),
        ignore_orphans=invocation.switch("COMPOSE_IGNORE_ORPHANS"),
        scale=args["scale"],
        yes=args["yes"],
        all_resources=invocation.all_resources,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("create", steps=sys.stdout) as sink:
        changes.create(invocation.context(sink), loaded, options)
