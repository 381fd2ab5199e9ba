"""`pycompose system …`: what the machine has, how much of it there is, and how to get rid of it."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.commands import shims
from pycompose.cli.display import humanize, table
from pycompose.cli.display.format import Layout, dumps, parse, show
from pycompose.cli.display.style import clean
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import TimestampType, format_option
from pycompose.engine.errors import ExecError, PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.gotemplate.template import Template
    from pycompose.client.context import Context
    from pycompose.client.views import EventView
    from pycompose.machine.system import DiskUse

UNREADABLE = 64
NOT_EXECUTABLE, NOT_FOUND = 126, 127
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


command.add_command(shims.plugin)
command.add_command(shims.shim)


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
        plain = {key: value for key, value in facts.items() if isinstance(value, str | int)}
        click.echo("".join(f"{key}: {value}\n" for key, value in plain.items()), nl=False)


@command.command("events", help="Receive real time events from containers, images, networks and volumes.")
@click.option(
    "--since", type=TimestampType(), default=0, help="From this time on (2026-01-02T13:23:37Z, 42m)."
)
@click.option("--until", type=TimestampType(), default=0, help="Up to this time.")
@groups.filter_option("container, event, image, label, network, scope, service, type, volume.", short=True)
@groups.template_option_as("--format")
@click.pass_obj
def events(
    invocation: Invocation, /, *, since: int, until: int, filters: tuple[str, ...], template: str
) -> None:
    """Print the events as they come."""
    from pycompose.client.query_options import EventsOptions
    from pycompose.machine import system

    options = EventsOptions(since_ns=since, until_ns=until, oneoffs=True, own_labels=True)
    parsed = parse(template) if template not in ("", "json") else None
    types = [value for key, _, value in (text.partition("=") for text in filters) if key == "type"]
    if types and not {"container", "image", "network", "volume"} & set(types):
        invocation.warn(f"--filter type={types[0]}: nothing will come: there are no such events")
    for view in system.events(invocation.context(), options, filters):
        if parsed is not None:
            click.echo(_rendered(parsed, system.event_document(view)))
        else:
            click.echo(dumps(system.event_document(view)) if template else event_line(view))


def _rendered(template: Template, event: dict[str, Any]) -> str:
    """Return an event by a template; docker ends with 64 for what an event doesn't have, too."""
    try:
        return template.render(event)
    except PycomposeError as exc:
        exc.exit_code = UNREADABLE
        raise


def event_line(view: EventView) -> str:
    """Return an event as `docker events` prints it."""
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(view.attributes.items()))
    stamp = humanize.moment(view.time_ns)
    return clean(f"{stamp} {view.kind} {view.action} {view.container_id} ({attributes})")


@command.command("serve", help="Answer Docker's clients: the Engine API on a socket.")
@click.option(
    "--socket", "path", default="", metavar="PATH", help="Where (default: /run/pycompose/docker.sock)."
)
@click.option("--idle", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
              help="End after so long without a client (default: never).")  # fmt: skip
@click.option("--page", type=click.IntRange(0, 65535), metavar="PORT",
              help="Serve the web page that `page` shows, too (0: at any port that is free).")  # fmt: skip
@click.pass_obj
def serve(invocation: Invocation, /, *, path: str, idle: float, page: int | None) -> None:
    """Serve until a signal comes."""
    import logging
    from pathlib import Path

    from pycompose.api.lean import load_asyncio

    load_asyncio()
    from pycompose.api.server import serve as serve_api

    context = invocation.context()
    target = Path(path) if path else context.paths.run / "docker.sock"
    level = logging.DEBUG if invocation.debug else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("asyncio", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    beside = None
    if page is not None:
        from pycompose.page.server import PageOptions, serve_pages

        options = PageOptions(port=page)
        beside = functools.partial(serve_pages, options=options, ready=click.echo)
    serve_api(
        context,
        target,
        idle_s=idle,
        ready=lambda: click.echo(f"listening on unix://{target.absolute()}"),
        beside=beside,
    )


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
    from pycompose.machine import builds, container_changes, images, networks, volumes
    from pycompose.machine.rows import PruneResult

    labels = groups.label_filters(filters)
    parts = [
        "all stopped containers",
        "all networks that no container refers to",
        "all images that no container uses" if everything else "all images without a name",
    ]
    parts += ["all build cache" if everything else "unused build cache"]
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
        cache = builds.prune_cache(context, everything=everything)
        names = (*cache.records, *cache.folders)
        groups.show_pruned("Deleted build cache objects", PruneResult(names=names))
        freed += removed.freed_bytes + cache.size_bytes
    click.echo(f"Total reclaimed space: {humanize.size(freed)}")


@command.command(
    "enter",
    help="Run a command, or a shell, where an ordinary user's containers are: as root of his private host.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("argv", metavar="[COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def enter(invocation: Invocation, /, *, argv: tuple[str, ...]) -> None:
    """Become the command; root is there already."""
    import os
    import signal

    invocation.command_codes = True
    invocation.context()
    words = argv or (os.environ.get("SHELL") or "/bin/sh",)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and programs would inherit that
    try:
        os.execvp(words[0], words)  # noqa: S606 - the user's own words
    except OSError as exc:
        code = NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
        raise ExecError(f"{words[0]}: cannot run: {exc.strerror}", exit_code=code) from exc


@command.command("reset", help="Remove everything: images, volumes, snapshots, networks, build cache.")
@groups.force_option
@click.pass_obj
def reset(invocation: Invocation, /, *, force: bool) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose import privileges
    from pycompose.machine import reset

    what = "all images, all volumes with their data and snapshots, all networks and all build cache"
    if not groups.confirmed(what, force=force):
        return
    freed = reset.reset(invocation.context())
    privileges.leave()
    click.echo(f"Total reclaimed space: {humanize.size(freed)}")
