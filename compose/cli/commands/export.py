"""`pycompose export`: a container's file system as a tar archive."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, service_argument
from pycompose.client.query_options import ExportOptions


@click.command(help="Export a service container's file system as a tar archive, without its volumes.")
@service_argument()
@click.option("-o", "--output", default="", metavar="FILE", help="File (default: standard output).")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Of this replica.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, service: str, *, output: str, index: int) -> None:
    """Write the archive."""
    from pycompose.client import export  # noqa: PLC0415 - --help doesn't need it

    if invocation.dry_run:
        return
    options = ExportOptions(service=service, output=output, index=index)
    with invocation.showing("export") as sink:
        export.export(invocation.context(sink), invocation.name(), options)
