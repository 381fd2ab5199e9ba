"""`pycompose version`."""

from __future__ import annotations

import json

import click
from pycompose.cli.options import dry_run_option
from pycompose.version import VERSION


def pretty() -> str:
    """Return the line that `version` prints."""
    return f"pycompose version v{VERSION}"


@click.command(help="Show the version.")
@click.option("-f", "--format", "how", type=click.Choice(["pretty", "json"]), default="pretty", help="How.")
@click.option("--short", is_flag=True, help="Only the number.")
@dry_run_option()
def command(how: str, short: bool) -> None:  # noqa: FBT001
    """Print the version."""
    if short:
        click.echo(VERSION)
    elif how == "json":
        click.echo(json.dumps({"version": f"v{VERSION}"}, separators=(",", ":")))
    else:
        click.echo(pretty())
