"""`pycompose container …`: the containers of all projects, by name or beginning of an id, as docker handles them."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import sys
import time
from typing import Any

import click
from pycompose.cli import groups
from pycompose.cli.commands.exec import converse, wants_terminal
from pycompose.cli.commands.logs import tail_lines
from pycompose.cli.commands.ps import LAYOUT, fields
from pycompose.cli.container import files, processes, run, update
from pycompose.cli.display import humanize
from pycompose.cli.display.format import Layout, show
from pycompose.cli.display.prefix import LogPrinter
from pycompose.cli.docker_config import setting
from pycompose.cli.invocation import Invocation
from pycompose.cli.one_by_one import each
from pycompose.cli.options import TimestampType, detach_keys_option, format_option, timeout_option

LS = Layout(
    columns=("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
    titles=LAYOUT.titles,
)
LS_SIZE = Layout(columns=(*LS.columns, "Size"), titles=LS.titles)
signal_option = click.option(
    "-s", "--signal", default="", metavar="SIGNAL", help="Instead of the container's own stop signal."
)
volumes_option = click.option("-v", "--volumes", is_flag=True, help="With their anonymous volumes.")


@click.group(cls=groups.ManagementGroup, help="Manage containers.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Hold the commands below."""
    groups.refuse_dry_run(ctx)


command.add_command(run.run)
command.add_command(run.create)
command.add_command(files.cp)
command.add_command(files.diff)
command.add_command(files.export)
command.add_command(files.commit)
command.add_command(processes.top)
command.add_command(processes.stats)
command.add_command(processes.port)
command.add_command(processes.attach)
command.add_command(update.rename)
command.add_command(update.update)


@command.command("ls", help="List containers.")
@click.option("-a", "--all", "everything", is_flag=True, help="Stopped ones too.")
@groups.filter_option(
    "name, id, status, label, project, ancestor, volume, network, health, exited, publish, expose, before, since, "
    "is-task.",
    short=True,
)
@groups.quiet_option
@groups.no_trunc_option
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="The N newest, in any state.")
@click.option("-l", "--latest", is_flag=True, help="The newest, in any state.")
@click.option("-s", "--size", is_flag=True, help="With how much they have written.")
@format_option(default="")
@click.pass_obj
def ls(invocation: Invocation, /, **args: Any) -> None:
    """Show the containers."""
    from pycompose.machine import containers

    last = 1 if args["latest"] else args["last"]
    everything = args["everything"] or last >= 0
    views = containers.views(invocation.context(), everything=everything, filters=args["filters"])
    if last >= 0:
        views = views[:last]
    now_ns = time.time_ns()
    rows = [fields(view, now_ns, truncate=not args["no_trunc"]) for view in views]
    if args["quiet"]:
        click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
        return
    how = args["how"] or setting(invocation.environment, "psFormat")
    if args["size"] or "{{.Size" in how:
        for row, (written, whole) in zip(rows, containers.sizes(invocation.context(), views), strict=True):
            row["Size"] = f"{humanize.size(written)} (virtual {humanize.size(whole)})"
    click.echo(show(rows, how, LS_SIZE if args["size"] else LS), nl=False)


command.add_command(ls, "ps")


@command.command("inspect", help="Show all about containers as JSON.")
@groups.names_argument
@groups.template_option
@click.option("-s", "--size", is_flag=True, help="With how much they have written.")
@click.pass_obj
def inspect(invocation: Invocation, /, *, names: tuple[str, ...], template: str, size: bool) -> None:
    """Show what is known of containers."""
    from pycompose.machine.inspect import inspect

    context = invocation.context()
    groups.show_each(names, lambda name: inspect(context, [name], "container", size=size), template)


@command.command("stop", help="Stop containers.")
@groups.names_argument
@signal_option
@timeout_option("--time")
@click.pass_obj
def stop(invocation: Invocation, /, *, names: tuple[str, ...], signal: str, timeout: float | None) -> None:
    """Stop each."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.stop(context, name, timeout, signal))


command.add_command(processes.start)


@command.command("boot", help="Start what restart policies bring back with the machine (of `container run`).")
@click.pass_obj
def boot(invocation: Invocation, /) -> None:
    """Start each and print its name; remove what was to be removed at its end."""
    from pycompose.machine import boot

    boot.boot(invocation.context(), click.echo)


@command.command("shutdown", help="Stop all containers of `container run` so that `boot` brings them back.")
@timeout_option()
@click.pass_obj
def shutdown(invocation: Invocation, /, *, timeout: float | None) -> None:
    """Stop all and print their names."""
    from pycompose.machine import boot

    for name in boot.shutdown(invocation.context(), timeout):
        click.echo(name)


@command.command("restart", help="Stop and start containers.")
@groups.names_argument
@signal_option
@timeout_option("--time")
@click.pass_obj
def restart(invocation: Invocation, /, *, names: tuple[str, ...], signal: str, timeout: float | None) -> None:
    """Restart each."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.restart(context, name, timeout, signal))


@command.command("kill", help="Send a signal to containers.")
@groups.names_argument
@click.option("-s", "--signal", default="SIGKILL", metavar="SIGNAL", help="Name or number.")
@click.pass_obj
def kill(invocation: Invocation, /, *, names: tuple[str, ...], signal: str) -> None:
    """Send it to each."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.kill(context, name, signal))


@command.command("pause", help="Freeze containers.")
@groups.names_argument
@click.pass_obj
def pause(invocation: Invocation, /, *, names: tuple[str, ...]) -> None:
    """Freeze each."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.pause(context, name, on=True))


@command.command("unpause", help="Let paused containers go on.")
@groups.names_argument
@click.pass_obj
def unpause(invocation: Invocation, /, *, names: tuple[str, ...]) -> None:
    """Thaw each."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.pause(context, name, on=False))


@command.command("wait", help="Wait until containers stop, print their exit codes.")
@groups.names_argument
@click.pass_obj
def wait(invocation: Invocation, /, *, names: tuple[str, ...]) -> None:
    """Wait for each."""
    from pycompose.machine import containers

    each(names, lambda name: str(containers.wait(invocation.context(), name)))


@command.command("rm", help="Remove containers.")
@groups.names_argument
@click.option("-f", "--force", is_flag=True, help="Running ones too.")
@volumes_option
@click.pass_obj
def rm(invocation: Invocation, /, *, names: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove what can be removed, then say what could not."""
    from pycompose.machine import container_changes

    context = invocation.context()
    each(names, lambda name: container_changes.remove(context, name, force=force, volumes=volumes))


@command.command("prune", help="Remove all stopped containers.")
@groups.filter_option("label.")
@groups.force_option
@click.pass_obj
def prune(invocation: Invocation, /, *, filters: tuple[str, ...], force: bool) -> None:
    """Ask, remove, and tell how much that freed."""
    from pycompose.machine import container_changes

    labels = groups.label_filters(filters)
    if not groups.confirmed("all stopped containers", force=force):
        return
    done = container_changes.prune(invocation.context(), labels=labels)
    groups.show_pruned("Deleted Containers", done)
    click.echo(f"Total reclaimed space: {humanize.size(done.freed_bytes)}")


@command.command("logs", help="View the output of a container.")
@groups.name_argument
@click.option(
    "--details", is_flag=True, help="With the labels and variables that the service's logging options name."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option(
    "--since", type=TimestampType(), default=0, help="From this time on (2026-01-02T13:23:37Z, 42m)."
)
@click.option("--until", type=TimestampType(), default=0, help="Up to this time.")
@click.option("-n", "--tail", default="all", metavar="N", help="The last N lines.")
@click.option("-t", "--timestamps", is_flag=True, help="With time stamps.")
@click.pass_obj
def logs(invocation: Invocation, /, **args: Any) -> None:
    """Print the lines as they are."""
    from pycompose.client.query_options import LogsOptions
    from pycompose.machine import containers

    options = LogsOptions(
        follow=args["follow"],
        since_ns=args["since"],
        until_ns=args["until"],
        tail=tail_lines(args["tail"]),
    )
    printer = LogPrinter(
        sys.stdout.buffer,
        sys.stderr.buffer,
        project="",
        prefix=False,
        timestamps=args["timestamps"],
        live=args["follow"],
    )
    context = invocation.context()
    details = containers.log_details(context, args["name"]).encode() + b" " if args["details"] else b""
    try:
        for line in containers.logs(context, args["name"], options):
            printer.line(line._replace(data=details + line.data) if details else line)
    finally:
        printer.flush()


@command.command(
    "exec",
    help="Execute a command in a running container.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("-d", "--detach", is_flag=True, help="Run in the background.")
@detach_keys_option()
@click.option("-e", "--env", multiple=True, metavar="KEY=VALUE", help="Set a variable.")
@click.option("--privileged", is_flag=True, help="With all capabilities.")
@click.option("-i", "--interactive", is_flag=True, help="With standard input.")
@click.option("-t", "--tty", is_flag=True, help="With a terminal.")
@click.option("-u", "--user", default="", metavar="USER", help="As this user.")
@click.option("-w", "--workdir", default="", metavar="DIR", help="In this directory.")
@groups.name_argument
@click.argument("args", nargs=-1, required=True, metavar="COMMAND [ARG]...")
@click.pass_obj
def exec_(invocation: Invocation, /, **args: Any) -> int:
    """Run the command and return its exit code."""
    from pycompose.cli.display.terminal import size
    from pycompose.client import sessions
    from pycompose.client.options import ExecOptions
    from pycompose.machine import containers

    invocation.command_codes = True
    context = invocation.context()
    container = containers.find(context, args["name"])
    tty = wants_terminal(asked=args["tty"], refused=not args["tty"] or args["detach"])
    rows, columns = size(1) if tty else (0, 0)
    options = ExecOptions(
        service=container.service,
        container=container.id,
        command=args["args"],
        detach=args["detach"],
        env=args["env"],
        privileged=args["privileged"],
        tty=tty,
        interactive=args["interactive"] and not args["detach"],
        user=args["user"],
        workdir=args["workdir"],
        rows=rows,
        columns=columns,
    )
    session = sessions.exec_(context, container.config.project, options)
    if args["detach"]:
        session.close()
        return 0
    return converse(session, args["detach_keys"])
