"""`pycompose events`: what happens to the containers, as it happens."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display.format import dumps
from pycompose.cli.display.humanize import NS, moment
from pycompose.cli.display.style import clean
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import TimestampType, dry_run_option, services_argument
from pycompose.client.query_options import EventsOptions

if TYPE_CHECKING:
    from pycompose.client.views import EventView


def line(view: EventView) -> str:
    """Return an event as Compose prints it, in local time."""
    when = dt.datetime.fromtimestamp(view.time_ns // NS).astimezone()
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(view.attributes.items()))
    stamp = f"{when:%Y-%m-%d %H:%M:%S}.{view.time_ns % NS // 1000:06d}"
    return clean(f"{stamp} container {view.action} {view.container_id} ({attributes})")


def fields(view: EventView) -> dict[str, Any]:
    """Return an event as an object of `--json`, its keys sorted as Docker Compose has them."""
    return {
        "action": view.action,
        "attributes": dict(sorted(view.attributes.items())),
        "id": view.container_id,
        "service": view.service,
        "time": moment(view.time_ns),
        "type": "container",
    }


@click.command(help="Receive real time events from containers.")
@services_argument()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option(
    "--since", type=TimestampType(), default=0, help="From this time on (2026-01-02T13:23:37Z, 42m)."
)
@click.option("--until", type=TimestampType(), default=0, help="Up to this time.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, services: tuple[str, ...], *, as_json: bool, since: int, until: int
) -> None:
    """Print the events as they come out of the use case."""
    from pycompose.client.events import events  # noqa: PLC0415 - --help doesn't need it

    name = _name(invocation, services)
    options = EventsOptions(services=services, since_ns=since, until_ns=until)
    for view in events(invocation.context(), name, options):
        sys.stdout.write(f"{dumps(fields(view)) if as_json else line(view)}\n")
        sys.stdout.flush()


def _name(invocation: Invocation, services: tuple[str, ...]) -> str:
    """Return the project's name; raises UnknownService for what its compose file, if there is one, doesn't have."""
    if not services:
        return invocation.name()
    from pycompose.client.selection import check_known  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    check_known(loaded, services)
    return name
