"""`pycompose inspect`: everything about containers, images, volumes and networks, in the JSON of Docker's API."""

from __future__ import annotations

import click
from pycompose.cli import groups
from pycompose.cli.invocation import Invocation


@click.command(help="Show all about containers, images, volumes or networks as JSON.")
@groups.names_argument
@groups.template_option
@click.option("-s", "--size", is_flag=True, help="With how much containers have written.")
@click.option("--type", "kind", type=click.Choice(["container", "image", "volume", "network"]), default=None,
              help="Only this kind.")  # fmt: skip
@click.pass_obj
def command(
    invocation: Invocation, /, *, names: tuple[str, ...], template: str, size: bool, kind: str | None
) -> None:
    """Look for each name and show what is known of it."""
    from pycompose.machine.inspect import inspect  # noqa: PLC0415 - --help doesn't need it

    context = invocation.context()
    groups.show_each(names, lambda name: inspect(context, [name], kind or "", size=size), template)
