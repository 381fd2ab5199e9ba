"""`pycompose container run, create`: a container outside any compose file, with docker's flags."""

# ruff: noqa: PLC0415 - --help needs none of what the commands do

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pycompose.cli.completion import names_of
from pycompose.cli.container.update import RestartPolicyType
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import GoCommand, detach_keys_option
from pycompose.engine.errors import PycomposeError
from pycompose.machine.run_flags import FLAGS, REPEATED

if TYPE_CHECKING:
    from pycompose.cli.display.terminal import ConnectedProcess
    from pycompose.client.options import ContainerRunOptions

F = TypeVar("F", bound=Callable[..., Any])

# What docker ends with when it was not the command that failed.
OWN_FAILURE = 125
NO_TERMINAL = 1


class DockerCommand(GoCommand):
    """A command whose own failures, wrong flags among them, end with 125."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what is wrong from here on is docker's 125."""
        invocation = ctx.find_root().obj
        if isinstance(invocation, Invocation):
            invocation.failure_code = OWN_FAILURE
        return super().parse_args(ctx, args)


STREAMS = ("stdin", "stdout", "stderr")


def _streams(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Return the streams of `--attach` in lower case, each once."""
    wanted = tuple(dict.fromkeys(name.lower() for name in value))
    for name in wanted:
        if name not in STREAMS:
            raise click.BadParameter(f"{name!r} is none of STDIN, STDOUT and STDERR", ctx, param)
    return wanted


def _flags() -> list[Callable[[F], F]]:
    """Return the options of the table, and those that are no single key of a service."""
    many: dict[str, Any] = {"multiple": True}
    options: list[Callable[[F], F]] = []
    for flag in FLAGS:
        if flag.kind == "switch":
            options.append(click.option(*flag.names, flag.key, is_flag=True, help=flag.help))
            continue
        details: dict[str, Any] = {"metavar": flag.metavar, "help": flag.help}
        if flag.kind in ("count", "seconds"):
            details["type"] = int
        if flag.kind in REPEATED:
            details |= many
        options.append(click.option(*flag.names, flag.key, **details))
    options += [
        click.option("-a", "--attach", "streams", **many, metavar="STREAM", callback=_streams,
                     help="Stay with STDIN, STDOUT or STDERR only (repeat)."),
        click.option("--cidfile", default="", metavar="FILE", help="Write the container's id there."),
        click.option("--cpuset-mems", default="", metavar="LIST", help="These memory nodes (0-1)."),
        click.option("--entrypoint", metavar="COMMAND", help="Instead of the image's entrypoint."),
        click.option("--env-file", "env_files", **many, metavar="FILE", help="Set variables from a file."),
        click.option("--gpus", default="", metavar="GPUS", help="all, a number, or device=…"),
        click.option("--ip", default="", metavar="ADDRESS", help="IPv4 address."),
        click.option("--ip6", default="", metavar="ADDRESS", help="IPv6 address."),
        click.option("--mac-address", "mac", default="", metavar="MAC", help="MAC address."),
        click.option("--mount", "mounts", **many, metavar="MOUNT", help="type=bind,source=/a,target=/b,…"),
        click.option("--name", default="", metavar="NAME", help="Name (default: a random one)."),
        click.option("--network", "--net", "networks", **many, metavar="NETWORK",
                     shell_complete=names_of("network"),
                     help="A network (or host, none, container:NAME; default: bridge)."),
        click.option("--network-alias", "--net-alias", "aliases", **many, metavar="NAME",
                     help="One more name there."),
        click.option("-P", "--publish-all", is_flag=True, help="Publish all exposed ports."),
        click.option("--pull", type=click.Choice(["always", "missing", "never"]), default="missing",
                     help="When to pull the image."),
        click.option("-q", "--quiet", is_flag=True, help="Pull without progress."),
        click.option("--restart", type=RestartPolicyType(), help="no, always, unless-stopped, on-failure[:N]."),
        click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended."),
        click.option("--ulimit", "ulimits", **many, metavar="NAME=SOFT[:HARD]", help="A resource limit."),
        click.option("-v", "--volume", "volumes", **many, metavar="SOURCE:TARGET", help="Mount this."),
        click.argument("image", shell_complete=names_of("image")),
        click.argument("args", nargs=-1, metavar="[COMMAND] [ARG]..."),
    ]  # fmt: skip
    return options


def flags(function: F) -> F:
    """Declare what `run` and `create` have in common."""
    for option in reversed(_flags()):
        function = option(function)
    return function


def _options(
    args: dict[str, Any], *, start: bool, detach: bool, size: tuple[int, int] = (0, 0)
) -> ContainerRunOptions:
    from pycompose.client.options import ContainerRunOptions

    same = (
        "image", "name", "env_files", "volumes", "mounts", "networks", "aliases", "ip", "ip6",
        "mac", "ulimits", "gpus", "cpuset_mems", "publish_all", "restart", "remove", "cidfile", "pull",
    )  # fmt: skip
    entrypoint = args["entrypoint"]
    return ContainerRunOptions(
        entrypoint=None if entrypoint is None else (entrypoint,) if entrypoint else (),
        **{name: args[name] for name in same},
        command=args["args"],
        keys={flag.key: args[flag.key] for flag in FLAGS if args[flag.key] is not None},
        quiet_pull=args["quiet"],
        detach=detach,
        start=start,
        outputs=tuple(name for name in args["streams"] or STREAMS if name != "stdin"),
        rows=size[0],
        columns=size[1],
    )


def _made(invocation: Invocation, options: ContainerRunOptions) -> ConnectedProcess:
    from pycompose.machine import run

    with invocation.showing("run", kind="quiet" if options.quiet_pull else None) as sink:
        return run.run(invocation.context(sink), options)


CONTEXT = {"allow_interspersed_args": False}


@click.command("run", cls=DockerCommand, help="Run a container of an image.", context_settings=CONTEXT)
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the container's id.")
@detach_keys_option()
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on to the process.")
@flags
@click.pass_obj
def run(invocation: Invocation, /, **args: Any) -> int:
    """Start the container, stay with it unless it is detached, and return its exit code."""
    from pycompose.cli.display.terminal import DETACHED, FORWARDED, Interaction, size

    invocation.command_codes = True
    detach, stdin = args["detach"], args["stdin_open"]
    if detach and args["streams"]:
        invocation.failure_code = NO_TERMINAL
        raise PycomposeError("-a and -d: cannot be combined")
    if args["tty"] and stdin and not detach and not sys.stdin.isatty():
        invocation.failure_code = NO_TERMINAL
        raise PycomposeError("-t: cannot use a terminal: standard input is none", hint="leave -t out")
    screen = size(1) if args["tty"] and not detach else (0, 0)
    session = _made(invocation, _options(args, start=True, detach=detach, size=screen))
    silent = detach or args["streams"] == ("stdin",)
    container = session.container
    if silent and not (stdin and not detach):
        session.close()
    else:
        code = Interaction(
            session,
            stdin=sys.stdin.fileno() if stdin else None,
            detach_keys=args["detach_keys"] if session.tty else "",
            forward=FORWARDED if args["sig_proxy"] else (),
            leave_at_end=silent,
        ).run()
    if silent:
        click.echo(container)
    return 0 if silent or code == DETACHED else code


@click.command(
    "create", cls=DockerCommand, help="Make a container of an image, not started.", context_settings=CONTEXT
)
@flags
@click.pass_obj
def create(invocation: Invocation, /, **args: Any) -> None:
    """Make the container and print its id."""
    invocation.failure_code = NO_TERMINAL
    with contextlib.closing(_made(invocation, _options(args, start=False, detach=True))) as session:
        click.echo(session.container)
