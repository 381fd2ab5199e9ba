"""`pycompose wait`: block until services have stopped, and return their exit code."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.options import DownOptions
from pycompose.client.query_options import WaitOptions


@click.command(help="Block until containers of the services stop.")
@services_argument(required=True)
@click.option("--down-project", is_flag=True, help="Take the project down when the first one stops.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], *, down_project: bool) -> int:
    """Print each end; return the code of the last container to stop, with --down-project of the first."""
    from pycompose.client import changes  # noqa: PLC0415 - --help doesn't need it
    from pycompose.client.wait import wait  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    options = WaitOptions(services=services, down_project=down_project)
    code = 0
    for ended in wait(invocation.context(), name, options):
        click.echo(f'container "{ended.container_id}" exited with status code {ended.exit_code}')
        code = ended.exit_code
        if down_project:
            break
    if down_project:
        with invocation.showing("down") as sink:
            changes.down(invocation.context(sink), name, loaded, DownOptions())
    return code
