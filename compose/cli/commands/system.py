"""`pycompose system …`: what the machine has, how much of it there is, and how to get rid of it."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.display import humanize, table
from pycompose.cli.display.format import Layout, dumps, parse, show
from pycompose.cli.display.style import clean
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import TimestampType, format_option
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.gotemplate.template import Template
    from pycompose.client.context import Context
    from pycompose.client.views import EventView
    from pycompose.machine.system import DiskUse

UNREADABLE = 64
DF = Layout(
    columns=("Type", "TotalCount", "Active", "Size", "Reclaimable"),
    titles={
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    },
)


def fields(use: DiskUse) -> dict[str, Any]:
    """Return a line of `system df` with docker's names."""
    percent = f" ({100 * use.reclaimable_bytes // use.size_bytes}%)" if use.size_bytes else ""
    return {
        "Type": use.kind,
        "TotalCount": str(use.total),
        "Active": str(use.active),
        "Size": humanize.size(use.size_bytes),
        "Reclaimable": humanize.size(use.reclaimable_bytes) + percent,
    }


@click.group(help="Look after the machine.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    groups.refuse_dry_run(ctx)


@command.command("df", help="Show how much images, containers and volumes take.")
@click.option("-v", "--verbose", is_flag=True, help="One line for each.")
@format_option()
@click.pass_obj
def df(invocation: Invocation, /, *, verbose: bool, how: str) -> None:
    """Show what takes space."""
    from pycompose.machine import system

    context = invocation.context()
    if not verbose:
        click.echo(show([fields(use) for use in system.usage(context)], how, DF), nl=False)
        return
    _verbose(context)


def _verbose(context: Context) -> None:
    from pycompose.machine import images, system

    click.echo("Images space usage:\n")
    head = ["REPOSITORY", "TAG", "IMAGE ID", "SIZE"]
    rows = [
        [row.repository, row.tag, row.id.removeprefix("sha256:")[:12], humanize.size(row.size_bytes)]
        for row in images.rows(context)
    ]
    click.echo(table.render([head, *rows]))
    for title, head, sizes in (
        ("Containers", ["NAME", "SIZE", "RUNNING"], system.container_sizes(context)),
        ("Local Volumes", ["VOLUME NAME", "SIZE", "IN USE"], system.volume_sizes(context)),
    ):
        click.echo(f"{title} space usage:\n")
        lines = [[name, humanize.size(size), "yes" if used else "no"] for name, size, used in sizes]
        click.echo(table.render([head, *lines]))


@command.command("info", help="Show what the machine has and can do.")
@groups.template_option
@click.pass_obj
def info(invocation: Invocation, /, *, template: str) -> None:
    """Show facts."""
    from pycompose.machine import system

    facts = system.information(invocation.context())
    if template == "json":
        click.echo(dumps(facts))
    elif template:
        click.echo(parse(template).render(facts))
    else:
        click.echo("".join(f"{key}: {value}\n" for key, value in facts.items()), nl=False)


@command.command("events", help="Receive real time events from the containers of all projects.")
@click.option(
    "--since", type=TimestampType(), default=0, help="From this time on (2026-01-02T13:23:37Z, 42m)."
)
@click.option("--until", type=TimestampType(), default=0, help="Up to this time.")
@groups.filter_option("container, event, image, service, type.", short=True)
@groups.template_option_as("--format")
@click.pass_obj
def events(
    invocation: Invocation, /, *, since: int, until: int, filters: tuple[str, ...], template: str
) -> None:
    """Print the events as they come."""
    from pycompose.client.query_options import EventsOptions
    from pycompose.machine import system

    options = EventsOptions(since_ns=since, until_ns=until, oneoffs=True)
    parsed = parse(template) if template not in ("", "json") else None
    for view in system.events(invocation.context(), options, filters):
        if parsed is not None:
            click.echo(_rendered(parsed, view))
        else:
            click.echo(dumps(event(view)) if template else event_line(view))


def _rendered(template: Template, view: EventView) -> str:
    """Return an event by a template; docker ends with 64 for what an event doesn't have, too."""
    try:
        return template.render(event(view))
    except PycomposeError as exc:
        exc.exit_code = UNREADABLE
        raise


def event(view: EventView) -> dict[str, Any]:
    """Return an event as docker's API has it."""
    return {
        "status": view.action,
        "id": view.container_id,
        "from": view.attributes["image"],
        "Type": "container",
        "Action": view.action,
        "Actor": {"ID": view.container_id, "Attributes": view.attributes},
        "scope": "local",
        "time": view.time_ns // humanize.NS,
        "timeNano": view.time_ns,
    }


def event_line(view: EventView) -> str:
    """Return an event as `docker events` prints it."""
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(view.attributes.items()))
    stamp = humanize.moment(view.time_ns)
    return clean(f"{stamp} container {view.action} {view.container_id} ({attributes})")


@command.command("prune", help="Remove stopped containers, networks and images that nothing refers to.")
@click.option("-a", "--all", "everything", is_flag=True, help="Named images that no container uses too.")
@click.option(
    "--volumes", "anonymous", is_flag=True, help="Anonymous volumes that no container refers to as well."
)
@groups.filter_option("label (not for images).")
@groups.force_option
@click.pass_obj
def prune(
    invocation: Invocation, /, *, everything: bool, anonymous: bool, filters: tuple[str, ...], force: bool
) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose.machine import container_changes, images, networks, volumes
    from pycompose.machine.rows import PruneResult

    labels = groups.label_filters(filters)
    parts = [
        "all stopped containers",
        "all networks that no container refers to",
        "all images that no container uses" if everything else "all images without a name",
    ]
    parts += ["anonymous volumes that no container refers to"] if anonymous else []
    if not groups.confirmed(", ".join(parts), force=force):
        return
    context = invocation.context()
    stopped = container_changes.prune(context, labels=labels)
    groups.show_pruned("Deleted Containers", stopped)
    groups.show_pruned("Deleted Networks", networks.prune(context, labels=labels))
    freed = stopped.freed_bytes
    if anonymous:
        gone = volumes.prune(context, everything=False, labels=labels)
        groups.show_pruned("Deleted Volumes", gone)
        freed += gone.freed_bytes
    if not labels:
        removed = images.prune(context, everything=everything)
        groups.show_pruned("Deleted Images", PruneResult(names=(*removed.untagged, *removed.deleted)))
        freed += removed.freed_bytes
    click.echo(f"Total reclaimed space: {humanize.size(freed)}")
