"""`pycompose page`: a local web page of what runs."""

from __future__ import annotations

import logging

import click
from pycompose.cli.invocation import Invocation, checked_name
from pycompose.engine.errors import PycomposeError


@click.command(help="Show what runs, live, on a web page of this machine.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Where (default: any that is free).",
)
@click.option("--socket", "path", default="", metavar="PATH", help="On a unix socket, in place of a port.")
@click.option("--read-only", is_flag=True, help="Let the page look, and change nothing.")
@click.option("--project", default="", metavar="NAME", help="Only this project (default: all).")
@click.option("--background", is_flag=True, hidden=True)
@click.pass_obj
def command(
    invocation: Invocation, /, *, port: int, path: str, read_only: bool, project: str, background: bool
) -> None:
    """Print the page's address, and serve it until a signal comes."""
    from pycompose.api.lean import load_asyncio  # noqa: PLC0415 - --help doesn't need it

    load_asyncio()
    from pycompose.page.server import PageOptions, serve  # noqa: PLC0415 - as above

    level = logging.DEBUG if invocation.debug else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    only = (
        checked_name(project or invocation.project_name or "") if project or invocation.project_name else ""
    )
    if port and path:
        raise PycomposeError("--port and --socket: cannot be combined")
    options = PageOptions(port=port, path=path, project=only, read_only=read_only, background=background)
    serve(invocation.context(), options, click.echo)
