"""`pycompose logout`: forget the credentials of a registry."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation


@click.command(help="Log out from a registry (default: Docker Hub).")
@click.argument("server", required=False, default="", metavar="[SERVER]")
@click.pass_obj
def command(invocation: Invocation, /, *, server: str) -> None:
    """Remove the credentials from where they are kept."""
    from pycompose.machine import images  # noqa: PLC0415 - --help doesn't need it

    name = server or "Docker Hub"
    if images.logout(invocation.environment, server):
        click.echo(f"Removed the credentials for {name}")
    else:
        click.echo(f"Not logged in to {name}")
