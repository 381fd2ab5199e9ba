"""`pycompose attach`: the terminal, or the pipes, of a service's first process."""

from __future__ import annotations

import sys

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import detach_keys_option, dry_run_option, service_argument
from pycompose.client.options import AttachOptions
from pycompose.engine.errors import PycomposeError


@click.command(help="Attach standard input, output and error to a service's running container.")
@service_argument()
@detach_keys_option()
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="This replica.")
@click.option("--no-stdin", is_flag=True, help="Output only.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the process.")
@dry_run_option()
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    service: str,
    *,
    detach_keys: str,
    index: int,
    no_stdin: bool,
    sig_proxy: bool,
) -> int:
    """Stay connected till the container ends or the keys are pressed; return its exit code."""
    from pycompose.cli.display.terminal import DETACHED, FORWARDED, Interaction  # noqa: PLC0415
    from pycompose.client import sessions  # noqa: PLC0415 - --help doesn't need it

    if invocation.dry_run:
        raise PycomposeError("attach is not supported in dry-run mode")
    session = sessions.attach(
        invocation.context(),
        invocation.name(),
        AttachOptions(service=service, index=index, stdin=not no_stdin),
    )
    interaction = Interaction(
        session,
        stdin=None if no_stdin else sys.stdin.fileno(),
        detach_keys=detach_keys if session.tty else "",
        forward=FORWARDED if sig_proxy else (),
    )
    code = interaction.run()
    return 0 if code == DETACHED else code
