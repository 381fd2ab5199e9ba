"""`pycompose builder …`: the build cache."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import BytesType, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

DU = Layout(
    columns=("ID", "Type", "Size", "CreatedSince", "LastUsedSince", "InUse", "Description"),
    titles={
        "ID": "ID",
        "Type": "TYPE",
        "Size": "SIZE",
        "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED",
        "InUse": "IN USE",
        "Description": "DESCRIPTION",
    },
)


@click.group(help="Manage builds.")
def command() -> None:
    """Group the commands of the build cache."""


@command.command(help="Show what the build cache takes.")
@format_option()
@click.pass_obj
def du(invocation: Invocation, /, how: str) -> None:
    """List the records, used last first, and the cache mounts."""
    from pycompose.machine import builds  # noqa: PLC0415 - --help doesn't need it

    now = time.time()
    rows = [
        {
            "ID": row.id[:12],
            "Type": row.kind,
            "Size": humanize.size(row.size_bytes),
            "CreatedSince": humanize.ago(int(row.created_s * 1e9), int(now * 1e9))
            if row.created_s
            else "N/A",
            "LastUsedSince": humanize.ago(int(row.used_s * 1e9), int(now * 1e9)),
            "InUse": str(row.in_use).lower(),
            "Description": humanize.shorten(row.title, 60),
        }
        for row in builds.cache_rows(invocation.context())
    ]
    click.echo(show(rows, how, DU), nl=False)


@command.command(help="Remove the build cache that no image stands on.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also what images stand on, and cache mounts.")
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@click.option(
    "--filter", "filters", multiple=True, metavar="until=AGE", help="Only what wasn't used for so long."
)
@click.option("--keep-storage", "keep_bytes", type=BytesType(), help="Keep so much, used last.")
@click.pass_obj
def prune(
    invocation: Invocation,
    /,
    *,
    everything: bool,
    force: bool,
    filters: Sequence[str],
    keep_bytes: int | None,
) -> None:
    """Prune, after a question."""
    from pycompose.machine import builds  # noqa: PLC0415 - --help doesn't need it

    what = "all build cache" if everything else "all dangling build cache"
    context = invocation.context()
    if not force and not context.confirm(
        f"WARNING! This will remove {what}.\nAre you sure you want to continue?"
    ):
        return
    done = builds.prune_cache(context, everything=everything, filters=filters, keep_bytes=keep_bytes)
    if done.records or done.folders:
        print("Deleted build cache objects:", *done.records, *done.folders, "", sep="\n")
    print(f"Total reclaimed space: {humanize.size(done.size_bytes)}")
