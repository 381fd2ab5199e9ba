"""`pycompose exec`: a command in a running container, with the user's terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import detach_keys_option, dry_run_option, service_argument
from pycompose.client.options import ExecOptions
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from pycompose.cli.display.terminal import ConnectedProcess


@click.command(
    help="Execute a command in a running container.", context_settings={"allow_interspersed_args": False}
)
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@detach_keys_option()
@click.option(
    "-e", "--env", multiple=True, metavar="KEY=VALUE", help="Set a variable (KEY alone: from here)."
)
@click.option("--index", type=click.IntRange(min=0), default=0, metavar="N", help="This replica.")
@click.option("--privileged", is_flag=True, help="With all capabilities.")
@click.option("-T", "--no-tty", "--no-TTY", "no_tty", is_flag=True, help="Without a terminal.")
@click.option("-u", "--user", default="", metavar="USER", help="As this user.")
@click.option("-w", "--workdir", default="", metavar="DIR", help="In this directory.")
@click.option("-i", "--interactive/--no-interactive", default=True, hidden=True)
@click.option("-t", "--tty", is_flag=True, hidden=True)
@dry_run_option()
@service_argument()
@click.argument("args", nargs=-1, required=True, metavar="COMMAND [ARG]...")
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter per flag
    invocation: Invocation,
    /,
    service: str,
    args: tuple[str, ...],
    *,
    detach: bool,
    detach_keys: str,
    env: tuple[str, ...],
    index: int,
    privileged: bool,
    no_tty: bool,
    user: str,
    workdir: str,
    interactive: bool,
    tty: bool,
) -> int:
    """Run the command and return its exit code."""
    from pycompose.cli.display.terminal import size  # noqa: PLC0415
    from pycompose.client import sessions  # noqa: PLC0415 - --help doesn't need it

    if invocation.dry_run:
        if detach:
            return 0
        raise PycomposeError("exec is not supported in dry-run mode", hint="with -d nothing is executed")
    invocation.command_codes = True
    # Compose knows -t for those who type it by habit: where there is no terminal it means nothing.
    wants_tty = wants_terminal(asked=tty and sys.stdin.isatty(), refused=no_tty or detach)
    rows, columns = size(1) if wants_tty else (0, 0)
    options = ExecOptions(
        service=service,
        command=args,
        detach=detach,
        env=env,
        index=index,
        privileged=privileged,
        tty=wants_tty,
        interactive=interactive and not detach,
        user=user,
        workdir=workdir,
        rows=rows,
        columns=columns,
    )
    session = sessions.exec_(invocation.context(), invocation.name(), options)
    if detach:
        session.close()
        return 0
    return converse(session, detach_keys)


def converse(session: ConnectedProcess, detach_keys: str) -> int:
    """Stay with a command until it ends, return its exit code; leaving it is an error, as for Compose."""
    from pycompose.cli.display.terminal import DETACHED, LEFT, Interaction  # noqa: PLC0415

    code = Interaction(session, detach_keys=detach_keys if session.tty else "").run()
    if code == DETACHED:
        raise PycomposeError(LEFT, hint="the command goes on")
    return code


def wants_terminal(*, asked: bool, refused: bool) -> bool:
    """Decide on a pseudo-terminal: as Compose when both input and output are terminals, unless refused.

    Raises PycomposeError when one is asked for and input is none.
    """
    if refused:
        return False
    if asked and not sys.stdin.isatty():
        raise PycomposeError(
            "-t: cannot use a terminal: standard input is none", hint="leave -t out, or use -T"
        )
    return asked or (sys.stdin.isatty() and sys.stdout.isatty())
