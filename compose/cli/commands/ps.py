"""`pycompose ps`: the project's containers as Docker's table, JSON or a template."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.docker_config import setting
from pycompose.cli.invocation import Invocation, project_of
from pycompose.cli.options import dry_run_option, format_option, services_argument
from pycompose.client.query_options import PsOptions
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.client.views import ContainerView
    from pycompose.policy.observed import PortBinding

STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")
SHORT_ID = 12

LAYOUT = Layout(
    columns=("Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports"),
    titles={
        "Name": "NAME",
        "Names": "NAMES",
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "Project": "PROJECT",
        "Service": "SERVICE",
        "RunningFor": "CREATED",
        "CreatedAt": "CREATED AT",
        "State": "STATE",
        "Status": "STATUS",
        "Health": "HEALTH",
        "ExitCode": "EXIT CODE",
        "Ports": "PORTS",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "Networks": "NETWORKS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
        "Publishers": "PUBLISHERS",
        "Engine": "ENGINE",
    },
)


def publisher(port: PortBinding) -> dict[str, Any]:
    """Return one port as an entry of `Publishers`."""
    return {
        "URL": port.host_ip,
        "TargetPort": port.target,
        "PublishedPort": port.host_port,
        "Protocol": port.protocol,
    }


def fields(view: ContainerView, now_ns: int, *, truncate: bool = True) -> dict[str, Any]:
    """Return what a template and `--format json` see of a container: Compose's names and texts."""
    mounts = [mount.source or mount.target for mount in view.mounts]
    return {
        "ID": view.id[:SHORT_ID] if truncate else view.id,
        "Name": view.name,
        "Names": view.name,
        "Image": humanize.image_name(view.image, view.image_id),
        "Command": humanize.command(view.command, truncate=truncate),
        "Project": view.project,
        "Service": view.service,
        "State": view.state,
        "Status": humanize.status(view, now_ns),
        "Health": view.health,
        "ExitCode": view.exit_code,
        "Publishers": [publisher(port) for port in view.ports],
        "Ports": humanize.ports(view.ports),
        "Engine": view.engine,
        "Labels": ",".join(f"{key}={value}" for key, value in view.labels.items()),
        "Mounts": ",".join(humanize.shorten(mount, 15) if truncate else mount for mount in mounts),
        "Networks": ",".join(view.networks),
        "LocalVolumes": str(sum(mount.local for mount in view.mounts)),
        "Size": humanize.size(view.size_bytes or 0, digits=4),
        "CreatedAt": humanize.created_at(view.created_ns),
        "RunningFor": humanize.ago(view.created_ns, now_ns),
    }


def wanted_states(statuses: Sequence[str], filters: Sequence[str]) -> frozenset[str]:
    """Return the states that `--status` and `--filter status=` leave, empty for all."""
    found = set(statuses)
    for text in filters:
        key, equals, value = text.partition("=")
        if key != "status" or not equals:
            raise PycomposeError(f"--filter {text}: cannot filter by {key!r}", hint="use status=VALUE")
        if value not in STATES:
            raise PycomposeError(f"--filter {text}: no such status", hint=f"one of {', '.join(STATES)}")
        found.add(value)
    return frozenset(found)


@click.command(help="List containers.")
@services_argument()
@click.option("-a", "--all", "everything", is_flag=True, help="Stopped containers and those of `run` too.")
@click.option(
    "--filter", "filters", multiple=True, metavar="status=VALUE", help="Only containers of a status."
)
@format_option(default="")
@click.option("--no-trunc", is_flag=True, help="Don't shorten commands and ids.")
@click.option("--orphans/--no-orphans", default=True, help="Containers of services that aren't in the file.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--services", "only_services", is_flag=True, help="Only service names.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATES), help="Only containers of a status."
)
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> None:
    """Ask for the containers and show them."""
    from pycompose.client import listings, selection  # noqa: PLC0415 - --help doesn't need it

    states = wanted_states(args["statuses"], args["filters"])
    known: tuple[str, ...] = ()
    if args["orphans"] and not args["services"]:
        name = invocation.name()
    else:
        name, loaded = invocation.load_or_name()
        selection.check_known(loaded, args["services"])
        known = tuple(project_of(loaded).services) if loaded else ()
    options = PsOptions(
        services=args["services"],
        all=args["everything"] or bool(states),
        orphans=args["orphans"],
        known_services=known,
    )
    views = sorted(listings.ps(invocation.context(), name, options), key=lambda view: view.name)
    views = [view for view in views if not states or view.state in states]
    click.echo(_text(views, args), nl=False)
    if args["how"] in ("", "table") and not args["quiet"] and not args["only_services"]:
        watcher = listings.watcher(invocation.context(), name)
        if watcher:
            click.echo(f"watched in the background by process {watcher}", err=True)


def _text(views: Sequence[ContainerView], args: dict[str, Any]) -> str:
    if args["quiet"]:
        return "".join(f"{view.id}\n" for view in views)
    if args["only_services"]:
        return "".join(f"{name}\n" for name in dict.fromkeys(view.service for view in views))
    now = time.time_ns()
    rows = [fields(view, now, truncate=not args["no_trunc"]) for view in views]
    return table(rows, args["how"] or setting(os.environ, "psFormat"))


def table(rows: Sequence[dict[str, Any]], how: str) -> str:
    """Return `rows` in a format, with a column for the engine where somebody has labelled containers with one."""
    engines = any(row["Engine"] for row in rows)
    return show(rows, how, replace(LAYOUT, columns=(*LAYOUT.columns, "Engine")) if engines else LAYOUT)
