"""`pycompose logs`: output of the containers, so far or as it comes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from pycompose.cli.display.prefix import LogPrinter, short_name
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import TimestampType, dry_run_option, services_argument
from pycompose.client.query_options import LogsOptions
from pycompose.client.views import Exited, Recreated
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.policy.observed import ObservedContainer


def tail_lines(text: str) -> int | None:
    """Return `--tail`: None for "all" (as in Docker also any negative number), else the number of lines."""
    if text == "all":
        return None
    try:
        lines = int(text)
    except ValueError:
        raise PycomposeError(f"--tail {text}: not a number of lines", hint='use a number, or "all"') from None
    return None if lines < 0 else lines


@click.command(help="View output from containers.")
@services_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Only this replica.")
@click.option("--no-color", is_flag=True, help="Without colours.")
@click.option("--no-log-prefix", is_flag=True, help="Without the containers' names.")
@click.option(
    "--since", type=TimestampType(), default=0, help="From this time on (2026-01-02T13:23:37Z, 42m)."
)
@click.option("--until", type=TimestampType(), default=0, help="Up to this time.")
@click.option("-n", "--tail", default="all", metavar="N", help="The last N lines of each container.")
@click.option("-t", "--timestamps", is_flag=True, help="With time stamps.")
@dry_run_option()
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter per flag
    invocation: Invocation,
    /,
    services: tuple[str, ...],
    *,
    follow: bool,
    index: int,
    no_color: bool,
    no_log_prefix: bool,
    since: int,
    until: int,
    tail: str,
    timestamps: bool,
) -> None:
    """Print the lines as they come out of the use case."""
    from pycompose.client import logs, selection  # noqa: PLC0415 - --help doesn't need it

    if index and len(services) != 1:
        raise PycomposeError("--index: needs one service", hint="name it: pycompose logs --index 2 web")
    options = LogsOptions(
        services=services,
        follow=follow,
        index=index,
        since_ns=since,
        until_ns=until,
        tail=tail_lines(tail),
    )
    name, loaded = invocation.load_or_name()
    selection.check_known(loaded, services)
    printer = LogPrinter(
        sys.stdout.buffer,
        sys.stdout.buffer,  # Compose keeps the two apart only in an attached `up`
        project=name,
        colour=not no_color and invocation.colour(sys.stdout),
        prefix=not no_log_prefix,
        timestamps=timestamps,
        live=follow,
    )
    try:
        context = invocation.context(lambda event: invocation.warn(event.text))

        def expect(containers: list[ObservedContainer]) -> None:
            printer.expect(short_name(c.name, name, c.service, c.number) for c in containers)

        if not follow:
            for lines in logs.logs(context, name, loaded, options, expect):
                printer.lines(lines)
            return
        for item in logs.follow_logs(context, name, loaded, options, expect):
            if isinstance(item, Exited):
                printer.ended(item)
            elif isinstance(item, Recreated):
                printer.recreated(item)
            else:
                printer.line(item)
    finally:
        printer.flush()
