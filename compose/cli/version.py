"""`pycompose version`."""

from __future__ import annotations

import json
from functools import cache

import click
from pycompose.cli.options import dry_run_option

DISTRIBUTION = "pycompose-engine"


@cache
def number() -> str:
    """Return the installed version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - 15 ms

    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown (not installed)"


def pretty() -> str:
    """Return the line that `version` prints."""
    return f"pycompose version v{number()}"


@click.command(help="Show the version.")
@click.option("-f", "--format", "how", type=click.Choice(["pretty", "json"]), default="pretty", help="How.")
@click.option("--short", is_flag=True, help="Only the number.")
@dry_run_option()
def command(how: str, short: bool) -> None:  # noqa: FBT001
    """Print the version."""
    if short:
        click.echo(number())
    elif how == "json":
        click.echo(json.dumps({"version": f"v{number()}"}, separators=(",", ":")))
    else:
        click.echo(pretty())
