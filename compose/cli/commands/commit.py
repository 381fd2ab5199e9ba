"""`pycompose commit`: an image of a container as it is now."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, service_argument
from pycompose.client.options import CommitOptions


@click.command(help="Create an image from a service container's changes.")
@service_argument()
@click.argument("reference", required=False, default="", metavar="[NAME[:TAG]]")
@click.option("-a", "--author", default="", metavar="TEXT", help='Who made it ("Ada <ada@example.org>").')
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="As in a Dockerfile.")
@click.option("-m", "--message", default="", metavar="TEXT", help="Comment for the history.")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause the container meanwhile.")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Of this replica.")
@dry_run_option()
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter per flag
    invocation: Invocation,
    /,
    service: str,
    reference: str,
    *,
    author: str,
    changes: tuple[str, ...],
    message: str,
    pause: bool,
    index: int,
) -> None:
    """Make the image and print its id."""
    from pycompose.client import export  # noqa: PLC0415 - --help doesn't need it

    options = CommitOptions(
        service=service,
        reference=reference,
        author=author,
        changes=changes,
        message=message,
        pause=pause,
        index=index,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("commit") as sink:
        image_id = export.commit(invocation.context(sink), invocation.name(), options)
    if image_id:
        click.echo(image_id)
