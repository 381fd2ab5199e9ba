"""`pycompose volume …`: the machine's volumes, with docker's names, flags and output."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import format_option

if TYPE_CHECKING:
    from pycompose.machine.rows import VolumeRow

LS = Layout(
    columns=("Driver", "Name"),
    titles={
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Mountpoint": "MOUNTPOINT",
        "Scope": "SCOPE",
        "Labels": "LABELS",
        "Links": "LINKS",
    },
)


def fields(row: VolumeRow) -> dict[str, Any]:
    """Return a volume with the names of docker's `volume ls`."""
    return {
        "Driver": row.driver,
        "Name": row.name,
        "Mountpoint": row.mountpoint,
        "Scope": "local",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(row.labels.items())),
        "Links": str(len(row.users)),
    }


@click.group(help="Manage volumes.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    groups.refuse_dry_run(ctx)


@command.command("create", help="Create a volume; without a name, an anonymous one.")
@click.argument("name", required=False, default="")
@click.option("-d", "--driver", default="local", metavar="NAME", help="Only local.")
@groups.labels_option
@groups.options_option
@click.pass_obj
def create(
    invocation: Invocation, /, *, name: str, driver: str, labels: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """Make the volume and print its name."""
    from pycompose.machine import volumes

    context = invocation.context()
    click.echo(volumes.create(context, name, driver, groups.pairs(options), groups.pairs(labels)))


@command.command("ls", help="List volumes.")
@groups.filter_option("dangling, driver, label, name.", short=True)
@groups.quiet_option
@format_option()
@click.pass_obj
def ls(invocation: Invocation, /, *, filters: tuple[str, ...], quiet: bool, how: str) -> None:
    """Show the volumes."""
    from pycompose.machine import volumes

    rows = volumes.rows(invocation.context(), filters)
    if quiet:
        click.echo("".join(f"{row.name}\n" for row in rows), nl=False)
        return
    click.echo(show([fields(row) for row in rows], how, LS), nl=False)


@command.command("inspect", help="Show all about volumes as JSON.")
@groups.names_argument
@groups.template_option
@click.pass_obj
def inspect(invocation: Invocation, /, *, names: tuple[str, ...], template: str) -> None:
    """Show what is known of volumes."""
    from pycompose.machine.inspect import inspect

    groups.show_documents(inspect(invocation.context(), names, "volume"), template)


@command.command("rm", help="Remove volumes that no container refers to.")
@groups.names_argument
@click.option("-f", "--force", is_flag=True, help="A volume that isn't there is no error.")
@click.pass_obj
def rm(invocation: Invocation, /, *, names: tuple[str, ...], force: bool) -> None:
    """Remove what can be removed, then say what could not."""
    from pycompose.machine import volumes

    def remove(name: str) -> str:
        volumes.remove(invocation.context(), name, force=force)
        return name

    groups.each(names, remove)


@command.command("prune", help="Remove anonymous volumes that no container refers to (-a: all such volumes).")
@click.option("-a", "--all", "everything", is_flag=True, help="Named ones too.")
@groups.filter_option("label.")
@groups.force_option
@click.pass_obj
def prune(invocation: Invocation, /, *, everything: bool, filters: tuple[str, ...], force: bool) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose.machine import volumes

    labels = groups.label_filters(filters)
    what = "all volumes" if everything else "anonymous volumes"
    if not groups.confirmed(f"{what} that no container refers to", force=force):
        return
    done = volumes.prune(invocation.context(), everything=everything, labels=labels)
    groups.show_pruned("Deleted Volumes", done)
    click.echo(f"Total reclaimed space: {humanize.size(done.freed_bytes)}")
