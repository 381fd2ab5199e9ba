"""`pycompose volumes`: the project's volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.humanize import size
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option, format_option, services_argument
from pycompose.client.query_options import VolumesOptions

if TYPE_CHECKING:
    from pycompose.client.views import VolumeView

UNKNOWN = "N/A"
OF_CLUSTERS = dict.fromkeys(("Availability", "Group", "Status"), UNKNOWN)
LAYOUT = Layout(
    columns=("Driver", "Name"),
    titles={
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Mountpoint": "MOUNTPOINT",
        "Scope": "SCOPE",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Size": "SIZE",
        **{key: key.upper() for key in OF_CLUSTERS},
    },
)


def fields(view: VolumeView) -> dict[str, Any]:
    """Return a volume with the names of Docker's `volume ls`."""
    return {
        "Name": view.name,
        "Driver": view.driver,
        "Mountpoint": view.mountpoint,
        "Scope": "local",
        "Labels": ",".join(f"{key}={value}" for key, value in view.labels.items()),
        "Links": UNKNOWN if view.links is None else str(view.links),
        "Size": UNKNOWN if view.size_bytes is None else size(view.size_bytes),
        **OF_CLUSTERS,
    }


@click.command(help="List volumes.")
@services_argument()
@format_option()
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@dry_run_option()
@click.pass_obj
def command(invocation: Invocation, /, services: tuple[str, ...], *, how: str, quiet: bool) -> None:
    """Ask for the volumes and show them."""
    from pycompose.client import listings, selection  # noqa: PLC0415 - --help doesn't need it

    if services:
        name, loaded = invocation.load_or_name()
        selection.check_known(loaded, services)
    else:
        name = invocation.name()
    views = listings.volumes(invocation.context(), name, VolumesOptions(services=services))
    if quiet:
        click.echo("".join(f"{view.name}\n" for view in views), nl=False)
        return
    click.echo(show([fields(view) for view in views], how, LAYOUT), nl=False)
