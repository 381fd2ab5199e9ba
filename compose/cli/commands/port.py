"""`pycompose port web 80`: where a container port can be reached."""

from __future__ import annotations

import click
from pycompose.cli.display.humanize import address
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, service_argument
from pycompose.client.query_options import PortOptions


@click.command(help="Print the public address of a container port.")
@service_argument()
@click.argument("port", type=click.IntRange(1, 65535), metavar="PRIVATE_PORT")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Of this replica.")
@click.option("--protocol", type=click.Choice(["tcp", "udp", "sctp"]), default="tcp", help="The protocol.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, service: str, port: int, *, index: int, protocol: str) -> None:
    """Print ADDRESS:PORT."""
    from pycompose.client import listings  # noqa: PLC0415 - --help doesn't need it

    options = PortOptions(service=service, port=port, protocol=protocol, index=index)
    view = listings.port(invocation.context(), invocation.name(), options)
    click.echo(address(view))
