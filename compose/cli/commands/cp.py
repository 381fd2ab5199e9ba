"""`pycompose cp`: copy files between the host and containers."""

from __future__ import annotations

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import dry_run_option
from pycompose.client.options import CpOptions
from pycompose.engine.errors import PycomposeError

EXAMPLE = "pycompose cp web:/etc/hosts ."


def split_path(text: str) -> tuple[str, str]:
    """Return (service, path) of SERVICE:PATH, ("", path) of a path on the host (docker/cli splitCpArg).

    A name that begins with `/` or `.` is the host's, whatever colons are in it.
    """
    service, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return "", text
    return service, path


@click.command(
    help="Copy files between a service's containers and the host: SERVICE:SRC DEST, or SRC SERVICE:DEST. "
    "- is a tar archive on standard input or output."
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DEST")
@click.option("--all", "everything", is_flag=True, help="Containers of `run` too.")
@click.option("-a", "--archive", is_flag=True, help="Keep user and group ids.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what SRC points to, not the link.")
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="Of this replica.")
@dry_run_option()
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter per flag
    invocation: Invocation,
    /,
    source: str,
    target: str,
    *,
    everything: bool,
    archive: bool,
    follow_link: bool,
    index: int,
) -> None:
    """Find out the direction and copy."""
    from pycompose.client import copy  # noqa: PLC0415 - --help doesn't need it

    (source_service, source_path), (target_service, target_path) = split_path(source), split_path(target)
    if source_service and target_service:
        raise PycomposeError("copying between services is not supported", hint=f"for example: {EXAMPLE}")
    if not source_service and not target_service:
        raise PycomposeError("unknown copy direction", hint=f"name a service: {EXAMPLE}")
    if not (source_path and target_path):
        raise PycomposeError(
            f"{source if source_service else target}: names no path in the container",
            hint="its whole file system is /",
        )
    options = CpOptions(
        service=source_service or target_service,
        path=source_path if source_service else target_path,
        local=target_path if source_service else source_path,
        to_container=bool(target_service),
        all=everything,
        archive=archive,
        follow_link=follow_link,
        index=index,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("copy") as sink:
        copy.cp(invocation.context(sink), invocation.name(), options)
