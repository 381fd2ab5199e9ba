"""`pycompose container cp, diff, export, commit`: what is in one container, by name or beginning of an id."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

from typing import Any

import click
from pycompose.cli import groups
from pycompose.cli.commands.cp import split_path
from pycompose.cli.invocation import Invocation
from pycompose.client.options import CommitOptions, CpOptions
from pycompose.client.query_options import ExportOptions
from pycompose.engine.errors import PycomposeError

EXAMPLE = "pycompose container cp demo-web-1:/etc/hosts ."


@click.command(
    "cp",
    help="Copy files between a container and the host: CONTAINER:SRC DEST, or SRC CONTAINER:DEST. "
    "- is a tar archive on standard input or output.",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DEST")
@click.option("-a", "--archive", is_flag=True, help="Keep user and group ids.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what SRC points to, not the link.")
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@click.pass_obj
def cp(
    invocation: Invocation, /, source: str, target: str, *, archive: bool, follow_link: bool, quiet: bool
) -> None:
    """Find out the direction and copy."""
    from pycompose.client import copy
    from pycompose.machine import containers

    (from_name, from_path), (to_name, to_path) = split_path(source), split_path(target)
    if bool(from_name) == bool(to_name):
        raise PycomposeError(
            "cp: one of the two has to be in a container, the other one on the host",
            hint=f"for example: {EXAMPLE}",
        )
    container = containers.find(invocation.context(), from_name or to_name)
    options = CpOptions(
        service=container.service,
        container=container.id,
        path=from_path if from_name else to_path,
        local=to_path if from_name else from_path,
        to_container=bool(to_name),
        archive=archive,
        follow_link=follow_link,
    )
    with invocation.showing("copy", kind="quiet" if quiet else None) as sink:
        copy.cp(invocation.context(sink), container.config.project, options)


@click.command("diff", help="Show what a container has added (A), changed (C) and deleted (D).")
@groups.name_argument
@click.pass_obj
def diff(invocation: Invocation, /, name: str) -> None:
    """Print a line for each path."""
    from pycompose.cli.display.style import clean
    from pycompose.machine import containers

    for kind, path in containers.changed_paths(invocation.context(), name):
        click.echo(f"{kind} {clean(path)}")


@click.command("export", help="Export a container's file system as a tar archive, without its volumes.")
@groups.name_argument
@click.option("-o", "--output", default="", metavar="FILE", help="File (default: standard output).")
@click.pass_obj
def export(invocation: Invocation, /, name: str, *, output: str) -> None:
    """Write the archive."""
    from pycompose.client import export
    from pycompose.machine import containers

    context = invocation.context()
    container = containers.find(context, name)
    options = ExportOptions(service=container.service, container=container.id, output=output)
    export.export(context, container.config.project, options)


@click.command("commit", help="Create an image from a container's changes.")
@groups.name_argument
@click.argument("reference", required=False, default="", metavar="[NAME[:TAG]]")
@click.option("-a", "--author", default="", metavar="TEXT", help='Who made it ("Ada <ada@example.org>").')
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="As in a Dockerfile.")
@click.option("-m", "--message", default="", metavar="TEXT", help="Comment for the history.")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause the container meanwhile.")
@click.pass_obj
def commit(invocation: Invocation, /, name: str, **args: Any) -> None:
    """Make the image and print its id."""
    from pycompose.client import export
    from pycompose.machine import containers

    context = invocation.context()
    container = containers.find(context, name)
    options = CommitOptions(service=container.service, container=container.id, **args)
    click.echo(export.commit(context, container.config.project, options))
