"""`pycompose alpha`: what Docker Compose has below this name, for scripts that call it so."""

from __future__ import annotations

import click
from pycompose.cli.commands import viz


@click.group(help="Commands that Docker Compose calls experimental.")
def command() -> None:
    """Hold the commands below."""


command.add_command(viz.command, "viz")
