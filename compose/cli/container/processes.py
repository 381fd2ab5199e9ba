"""`pycompose container top, stats, port, attach, start`: containers while they run, by name or beginning of an id."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from pycompose.cli import groups
from pycompose.cli.commands.stats import display
from pycompose.cli.commands.top import HEAD, row
from pycompose.cli.completion import complete_names
from pycompose.cli.display import table
from pycompose.cli.display.humanize import address
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each
from pycompose.cli.options import detach_keys_option, format_option
from pycompose.client.options import AttachOptions
from pycompose.client.query_options import StatsOptions, TopOptions
from pycompose.engine.errors import PycomposeError, StateError

if TYPE_CHECKING:
    from pycompose.cli.display.terminal import ConnectedProcess

OWN = 2  # the columns of `pycompose top` that tell services apart


@click.command(
    "top",
    help="Display the running processes of a container; with options of ps(1), as the machine's ps shows them.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@groups.name_argument
@click.argument("options", nargs=-1, metavar="[PS_OPTION]...", type=click.UNPROCESSED)
@click.pass_obj
def top(invocation: Invocation, /, name: str, *, options: tuple[str, ...]) -> None:
    """Show them as `ps -ef` does, or as it is asked to."""
    from pycompose.client.top import top
    from pycompose.machine import containers

    context = invocation.context()
    container = containers.find(context, name)
    if not container.running:
        raise StateError(f"container {container.name}: is not running")
    if options:
        shown = containers.ps_table(context, container, options)
        click.echo(table.render(shown, padding=2, minimum=4), nl=False)
        return
    views = top(context, container.config.project, TopOptions(ids=(container.id,)))
    now = time.time_ns()
    rows = [list(row(view, now)[OWN:]) for view in views]
    click.echo(table.render([HEAD[OWN:], *rows], padding=2, minimum=4), nl=False)


@click.command("stats", help="Display a live stream of what containers use.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_names)
@click.option("-a", "--all", "everything", is_flag=True, help="Stopped containers too.")
@format_option()
@click.option("--no-stream", is_flag=True, help="Only once.")
@click.option("--no-trunc", is_flag=True, help="Don't shorten ids.")
@click.pass_obj
def stats(
    invocation: Invocation,
    /,
    names: tuple[str, ...],
    *,
    everything: bool,
    how: str,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """Print every list of samples; of all containers when none is named."""
    from pycompose.machine import containers

    context = invocation.context()
    ids = tuple(containers.find(context, name).id for name in names)
    options = StatsOptions(ids=ids, all=everything or bool(ids), stream=not no_stream)
    display(invocation, "", options, how, no_trunc=no_trunc)


@click.command("port", help="Print the public addresses of a container's ports, or of one (80, 53/udp).")
@groups.name_argument
@click.argument("port", required=False, default="", metavar="[PORT[/PROTOCOL]]")
@click.pass_obj
def port(invocation: Invocation, /, name: str, port: str) -> None:
    """Print `80/tcp -> ADDRESS:PORT` for each, ADDRESS:PORT for the one that is asked for."""
    from pycompose.machine import containers

    views = [v for v in containers.view(invocation.context(), name).ports if v.host_port]
    if not port:
        click.echo("".join(f"{v.target}/{v.protocol} -> {address(v)}\n" for v in views), nl=False)
        return
    number, _, protocol = port.partition("/")
    found = [v for v in views if (str(v.target), v.protocol) == (number, protocol or "tcp")]
    if not found:
        raise PycomposeError(f"container {name}: port {number}/{protocol or 'tcp'} is not published")
    click.echo("".join(f"{address(view)}\n" for view in found), nl=False)


@click.command("attach", help="Attach standard input, output and error to a running container.")
@groups.name_argument
@detach_keys_option()
@click.option("--no-stdin", is_flag=True, help="Output only.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the process.")
@click.pass_obj
def attach(invocation: Invocation, /, name: str, *, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> int:
    """Stay connected till the container ends or the keys are pressed; return its exit code."""
    from pycompose.client import sessions
    from pycompose.machine import containers

    context = invocation.context()
    container = containers.find(context, name)
    options = AttachOptions(service=container.service, container=container.id, stdin=not no_stdin)
    session = sessions.attach(context, container.config.project, options)
    return _stay(session, stdin=not no_stdin, detach_keys=detach_keys, sig_proxy=sig_proxy)


def _stay(session: ConnectedProcess, *, stdin: bool, detach_keys: str, sig_proxy: bool) -> int:
    """Join the session and the caller's streams until it ends or is left; return its exit code, 0 when left."""
    from pycompose.cli.display.terminal import DETACHED, FORWARDED, Interaction

    code = Interaction(
        session,
        stdin=sys.stdin.fileno() if stdin else None,
        detach_keys=detach_keys if session.tty else "",
        forward=FORWARDED if sig_proxy else (),
    ).run()
    return 0 if code == DETACHED else code


@click.command("start", help="Start containers, and with -a or -i stay with the one.")
@groups.names_argument
@click.option("-a", "--attach", "attached", is_flag=True, help="Show its output and pass signals on.")
@detach_keys_option()
@click.option("-i", "--interactive", is_flag=True, help="With standard input, where it has one.")
@click.pass_obj
def start(
    invocation: Invocation, /, names: tuple[str, ...], *, attached: bool, detach_keys: str, interactive: bool
) -> int:
    """Start each; return the exit code of one that is stayed with, 0 after the detach keys."""
    from pycompose.cli.display.terminal import size
    from pycompose.client import sessions
    from pycompose.machine import container_changes, containers

    context = invocation.context()
    if not attached and not interactive:
        each(names, lambda name: container_changes.start(context, name))
        return 0
    if len(names) > 1:
        raise PycomposeError("-a and -i: cannot be used with several containers", hint="start one at a time")
    container = containers.find(context, names[0])
    process = container.config.process
    rows, columns = size(1) if process.tty else (0, 0)
    options = AttachOptions(
        service=container.service,
        container=container.id,
        stdin=interactive and process.stdin_open,
        rows=rows,
        columns=columns,
    )
    session = sessions.launch(context, container.config.project, options)
    return _stay(session, stdin=options.stdin, detach_keys=detach_keys, sig_proxy=True)
