"""`pycompose volume …`: the machine's volumes, with docker's names, flags and output."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from pycompose.cli import groups
from pycompose.cli.completion import complete_names
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each
from pycompose.cli.options import format_option

if TYPE_CHECKING:
    from pycompose.machine.rows import VolumeRow

# What docker tells of volumes in a cluster, and of the size where nobody has added it up.
OF_CLUSTERS = dict.fromkeys(("Availability", "Group", "Size", "Status"), "N/A")
LS = Layout(
    columns=("Driver", "Name"),
    titles={
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Mountpoint": "MOUNTPOINT",
        "Scope": "SCOPE",
        "Labels": "LABELS",
        "Links": "LINKS",
        **{key: key.upper() for key in OF_CLUSTERS},
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
        **OF_CLUSTERS,
    }


SNAPSHOTS = Layout(
    columns=("Volume", "Tag", "CreatedSince", "Size"),
    titles={
        "Volume": "VOLUME",
        "Tag": "TAG",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
    },
)


@click.group(cls=groups.ManagementGroup, help="Manage volumes.")
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

    context = invocation.context()
    groups.show_each(names, lambda name: inspect(context, [name], "volume"), template)


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

    each(names, remove)


pause_option = click.option(
    "-p", "--pause/--no-pause", default=True, help="Pause the containers that use it meanwhile."
)


@command.command("snapshot", help="Remember what a volume holds, under a tag; --rm forgets it.")
@groups.name_argument
@click.argument("tag")
@click.option("-f", "--force", is_flag=True, help="Replace one of that tag.")
@click.option("--rm", "forget", is_flag=True, help="Forget what is remembered under the tag.")
@pause_option
@click.pass_obj
def snapshot(
    invocation: Invocation, /, *, name: str, tag: str, force: bool, forget: bool, pause: bool
) -> None:
    """Take the snapshot, or remove it, and print its tag."""
    from pycompose.machine import volume_snapshots

    if forget:
        volume_snapshots.remove(invocation.context(), name, tag)
    else:
        volume_snapshots.take(invocation.context(), name, tag, replaces=force, pause=pause)
    click.echo(tag)


@command.command("snapshots", help="List snapshots of volumes.")
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_names)
@groups.quiet_option
@format_option()
@click.pass_obj
def snapshots(invocation: Invocation, /, *, names: tuple[str, ...], quiet: bool, how: str) -> None:
    """Show the snapshots."""
    from pycompose.machine import volume_snapshots

    rows = volume_snapshots.rows(invocation.context(), names)
    if quiet:
        click.echo("".join(f"{row.tag}\n" for row in rows), nl=False)
        return
    fields = [
        {
            "Volume": row.volume,
            "Tag": row.tag,
            "CreatedSince": humanize.ago(row.created_ns, time.time_ns()),
            "CreatedAt": humanize.moment(row.created_ns),
            "Size": humanize.size(row.size_bytes),
        }
        for row in rows
    ]
    click.echo(show(fields, how, SNAPSHOTS), nl=False)


@command.command("restore", help="Put back what a volume held when the snapshot was taken.")
@groups.name_argument
@click.argument("tag")
@click.pass_obj
def restore(invocation: Invocation, /, *, name: str, tag: str) -> None:
    """Put it back, and print the volume's name."""
    from pycompose.machine import volume_snapshots

    volume_snapshots.restore(invocation.context(), name, tag)
    click.echo(name)


@command.command("clone", help="Make a volume with what another one holds.")
@groups.name_argument
@click.argument("new")
@groups.labels_option
@pause_option
@click.pass_obj
def clone(invocation: Invocation, /, *, name: str, new: str, labels: tuple[str, ...], pause: bool) -> None:
    """Copy the data, and print the new volume's name."""
    from pycompose.machine import volume_snapshots

    click.echo(volume_snapshots.clone(invocation.context(), name, new, groups.pairs(labels), pause=pause))


@command.command("prune", help="Remove anonymous volumes that no container refers to (-a: all such volumes).")
@click.option("-a", "--all", "everything", is_flag=True, help="Named ones too.")
@groups.filter_option("label, label!.")
@groups.force_option
@click.pass_obj
def prune(invocation: Invocation, /, *, everything: bool, filters: tuple[str, ...], force: bool) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose.machine import volumes

    found = groups.prune_filters(filters)
    what = "all volumes" if everything else "anonymous volumes"
    if not groups.confirmed(f"{what} that no container refers to", force=force):
        return
    done = volumes.prune(
        invocation.context(), everything=everything, labels=found["label"], without=found["label!"]
    )
    groups.show_pruned("Deleted Volumes", done)
    click.echo(f"Total reclaimed space: {humanize.size(done.freed_bytes)}")
