"""`pycompose version`."""

from __future__ import annotations

import json

import click
from pycompose.cli.options import dry_run_option
from pycompose.version import COMPOSE_VERSION, VERSION


def pretty() -> str:
    """Return the line that `version` prints."""
    return f"pycompose version v{VERSION}, compatible with Docker Compose version v{COMPOSE_VERSION}"


def _checked(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if value not in ("", "pretty", "json") and "{{" not in value:
        raise click.BadParameter(f"{value!r} is neither 'pretty' nor 'json' nor a Go template")
    return value


@click.command(help="Show the version.")
@click.option("-f", "--format", "how", default="pretty", metavar="FORMAT", callback=_checked,
              help="pretty, json, or a Go template of docker's: {{.Server.Version}}.")  # fmt: skip
@click.option(
    "--short", is_flag=True, help="Only the number of the Docker Compose that ours does the work of."
)
@dry_run_option()
def command(how: str, short: bool) -> None:  # noqa: FBT001
    """Print the version: programs get that of Docker Compose, which they compare with the one that they need."""
    if short:
        click.echo(COMPOSE_VERSION)
    elif how == "json":
        found = {"version": f"v{COMPOSE_VERSION}", "pycompose": f"v{VERSION}"}
        click.echo(json.dumps(found, separators=(",", ":")))
    elif "{{" in how:
        from pycompose.cli.commands.docker_answers import rendered_version  # noqa: PLC0415 - few ask

        click.echo(rendered_version(how))
    else:
        click.echo(pretty())
