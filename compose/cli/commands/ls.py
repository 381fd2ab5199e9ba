"""`pycompose ls`: the projects of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.table import WIDE
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, format_option
from pycompose.client.query_options import LsOptions
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.client.views import ProjectView

LAYOUT = Layout(
    columns=("Name", "Status", "ConfigFiles"),
    titles={"Name": "NAME", "Status": "STATUS", "ConfigFiles": "CONFIG FILES"},
    array=True,
    minimum=WIDE,
)


def fields(view: ProjectView) -> dict[str, Any]:
    """Return a project as Compose names it: status `running(2), exited(1)`, `watched` too if it is."""
    return {
        "Name": view.name,
        "Status": ", ".join(
            [
                *(f"{state}({count})" for state, count in sorted(view.counts)),
                *(["watched"] if view.watcher else []),
            ]
        ),
        "ConfigFiles": ",".join(view.config_files),
    }


@click.command(help="List projects.")
@click.option("-a", "--all", "everything", is_flag=True, help="Stopped projects too.")
@click.option(
    "--filter", "filters", multiple=True, metavar="name=REGEX", help="Only projects of such a name."
)
@format_option()
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, *, everything: bool, filters: tuple[str, ...], how: str, quiet: bool
) -> None:
    """Ask for the projects and show them."""
    from pycompose.client import listings  # noqa: PLC0415 - --help doesn't need it

    for text in filters:
        if not text.startswith("name="):
            raise PycomposeError(f"--filter {text}: cannot be used", hint="use name=REGEX")
    options = LsOptions(all=everything, names=tuple(text.removeprefix("name=") for text in filters))
    views = sorted(listings.ls(invocation.context(), options), key=lambda view: view.name)
    if quiet:
        click.echo("".join(f"{view.name}\n" for view in views), nl=False)
        return
    click.echo(show([fields(view) for view in views], how, LAYOUT), nl=False)
