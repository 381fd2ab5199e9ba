"""`pycompose top`: the processes of the running containers, in one table."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import click
from pycompose.cli.display import table
from pycompose.cli.display.humanize import NS
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, services_argument
from pycompose.client.query_options import TopOptions

if TYPE_CHECKING:
    from pycompose.client.views import ProcessView

HEAD = ("SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
DAY_S = 24 * 3600


def row(view: ProcessView, now_ns: int) -> tuple[str, ...]:
    """Return one process as `ps -ef` shows it (ps(1)): STIME is a time of day within a day, later a date."""
    started = dt.datetime.fromtimestamp(view.started_ns // NS).astimezone()
    recent = now_ns - view.started_ns < DAY_S * NS
    minutes, seconds = divmod(int(view.cpu_time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        view.service,
        str(view.number),
        "root" if view.uid == "0" else view.uid,
        str(view.pid),
        str(view.ppid),
        str(view.cpu_percent),
        f"{started:%H:%M}" if recent else f"{started:%b%d}",
        view.tty,
        f"{hours:02d}:{minutes:02d}:{seconds:02d}",
        view.command,
    )


@click.command(help="Display the running processes.")
@services_argument()
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...]) -> None:
    """Ask for the processes and show them."""
    from pycompose.client.top import top  # noqa: PLC0415 - --help doesn't need it

    views = top(invocation.context(), invocation.name(), TopOptions(services=services))
    now = time.time_ns()
    rows = [row(view, now) for view in sorted(views, key=lambda v: (v.service, v.number))]
    if rows:
        click.echo(table.render([HEAD, *rows], padding=2, minimum=4), nl=False)
