"""`pycompose rm`: remove stopped containers, after a question."""

from __future__ import annotations

import sys

import click
from pycompose.cli.invocation import Invocation, confirmed
from pycompose.cli.options import dry_run_option, retired_option, services_argument
from pycompose.client.options import RmOptions
from pycompose.client.query_options import PsOptions

STOPPED = frozenset({"created", "exited", "dead"})


@click.command(help="Remove stopped service containers.")
@services_argument()
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@click.option("-s", "--stop", is_flag=True, help="Stop them first.")
@click.option("-v", "--volumes", is_flag=True, help="Also their anonymous volumes.")
@retired_option("-a", "--all")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation, /, services: tuple[str, ...], *, force: bool, stop: bool, volumes: bool
) -> None:
    """Ask, then remove; declining is no error."""
    from pycompose.client import changes, listings, selection  # noqa: PLC0415 - --help doesn't need it

    name, loaded = invocation.load_or_name()
    chosen = tuple(selection.in_scope(loaded, services))
    found = listings.ps(invocation.context(), name, PsOptions(services=chosen, all=True))
    doomed = sorted(
        view.name
        for view in found
        if (stop or view.state in STOPPED) and not view.oneoff and (chosen or loaded is None)
    )
    if doomed:
        print(f"Going to remove {', '.join(doomed)}", file=sys.stderr)
        if not force and not invocation.dry_run and not confirmed("Are you sure?"):
            return
    options = RmOptions(
        services=services,
        stop=stop,
        volumes=volumes,
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )
    with invocation.showing("rm") as sink:
        removed = changes.rm(invocation.context(sink), name, loaded, options)
    if not removed:
        invocation.remark("No stopped containers")
