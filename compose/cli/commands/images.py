"""`pycompose images`: which images the containers were made from."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.table import WIDE
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, format_option, services_argument
from pycompose.client.query_options import ImagesOptions

if TYPE_CHECKING:
    from pycompose.client.views import ImageView

SHORT_ID = 12
TITLES = {
    "ContainerName": "CONTAINER",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Platform": "PLATFORM",
    "ShortID": "IMAGE ID",
    "HumanSize": "SIZE",
    "CreatedSince": "CREATED",
    "ID": "ID",
    "Size": "SIZE",
    "Created": "CREATED",
}
LAYOUT = Layout(
    columns=("ContainerName", "Repository", "Tag", "Platform", "ShortID", "HumanSize", "CreatedSince"),
    titles=TITLES,
    array=True,
    minimum=WIDE,
    hidden=frozenset({"ShortID", "HumanSize", "CreatedSince"}),
)


def fields(view: ImageView, now_ns: int) -> dict[str, Any]:
    """Return an image as Compose names it; an image without a date (the machine itself) has none."""
    created = ""
    if view.created_ns:
        moment = dt.datetime.fromtimestamp(view.created_ns // humanize.NS, dt.UTC)
        created = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "ID": view.image_id,
        "ContainerName": view.container,
        "Repository": view.repository or "<none>",
        "Tag": view.tag or "<none>",
        "Platform": view.platform,
        "Size": view.size_bytes,
        "Created": created,
        "ShortID": view.image_id.removeprefix("sha256:")[:SHORT_ID],
        "HumanSize": humanize.size(view.size_bytes),
        "CreatedSince": humanize.ago(view.created_ns, now_ns) if view.created_ns else "N/A",
    }


@click.command(help="List images used by the created containers.")
@services_argument()
@format_option()
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], *, how: str, quiet: bool) -> None:
    """Ask for the images and show them."""
    from pycompose.client import listings  # noqa: PLC0415 - --help doesn't need it

    options = ImagesOptions(services=services)
    views = sorted(
        listings.images(invocation.context(), invocation.name(), options), key=lambda v: v.container
    )
    if quiet:
        ids = dict.fromkeys(view.image_id.removeprefix("sha256:") for view in views)
        click.echo("".join(f"{one}\n" for one in ids), nl=False)
        return
    now = time.time_ns()
    click.echo(show([fields(view, now) for view in views], how, LAYOUT), nl=False)
