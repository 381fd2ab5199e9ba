"""`pycompose run`: a one-off container of a service, with the user's terminal."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click
from pycompose.cli.commands.exec import wants_terminal
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import detach_keys_option, dry_run_option, service_argument
from pycompose.client.options import RunOptions
from pycompose.engine.errors import PycomposeError


@click.command(
    help="Run a one-off command on a service.", context_settings={"allow_interspersed_args": False}
)
@click.option("--build", is_flag=True, help="Build images first.")
@click.option("--cap-add", multiple=True, metavar="NAME", help="Give this capability.")
@click.option("--cap-drop", multiple=True, metavar="NAME", help="Take this capability away.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the container's id.")
@detach_keys_option()
@click.option("--entrypoint", metavar="COMMAND", help="Instead of the image's entrypoint.")
@click.option(
    "-e", "--env", multiple=True, metavar="KEY=VALUE", help="Set a variable (KEY alone: from here)."
)
@click.option("--env-from-file", "env_files", multiple=True, metavar="FILE", type=click.Path(),
              help="Set variables from a file.")  # fmt: skip
@click.option("-i", "--interactive/--no-interactive", default=True, help="Pass standard input on.")
@click.option(
    "-l", "--label", "--labels", "labels", multiple=True, metavar="KEY=VALUE", help="Add or replace a label."
)
@click.option("--name", default="", metavar="NAME", help="Name of the container.")
@click.option("-T", "--no-tty", "--no-TTY", "no_tty", is_flag=True, help="Without a terminal.")
@click.option("-t", "--tty", is_flag=True, hidden=True)
@click.option("--no-deps", is_flag=True, help="Without what the service depends on.")
@click.option("-p", "--publish", multiple=True, metavar="PORT", help="Publish a port (8080:80).")
@click.option(
    "--pull",
    type=click.Choice(["always", "missing", "never", "build", "policy"]),
    callback=lambda _ctx, _param, value: "" if value in (None, "policy") else value,
    help="Which images to pull (default: the service's pull_policy).",
)
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
@click.option("--quiet-build", is_flag=True, help="Build without output.")
@click.option("--quiet-pull", is_flag=True, help="Pull without progress.")
@click.option("--remove-orphans", is_flag=True, help="Remove containers that aren't in the file.")
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it has ended.")
@click.option("-P", "--service-ports", is_flag=True, help="Publish the service's ports.")
@click.option("--use-aliases", is_flag=True, help="Answer to the service's names, too.")
@click.option("-u", "--user", default="", metavar="USER", help="As this user.")
@click.option(
    "-v", "--volume", "--volumes", "volumes", multiple=True, metavar="SOURCE:TARGET", help="Mount this."
)
@click.option("-w", "--workdir", default="", metavar="DIR", help="In this directory.")
@dry_run_option()
@service_argument()
@click.argument("args", nargs=-1, metavar="[COMMAND] [ARG]...")
@click.pass_obj
def command(invocation: Invocation, /, **args: Any) -> int:
    """Start the container, stay with it, and return its exit code."""
    from pycompose.cli.display.terminal import DETACHED, Interaction, size  # noqa: PLC0415
    from pycompose.client import sessions, supervisor  # noqa: PLC0415 - --help doesn't need it

    invocation.command_codes = True
    if args["publish"] and args["service_ports"]:
        raise PycomposeError("--service-ports and --publish: cannot be combined")
    tty = wants_terminal(asked=args["tty"], refused=args["no_tty"] or args["detach"])
    options = run_options(invocation, args, tty=tty, size=size(1) if tty else (0, 0))
    supervisor.prepare(invocation.context(), invocation.project_name)
    loaded = invocation.load((options.service,))
    with invocation.showing("run", kind="quiet" if args["quiet"] else None) as sink:
        session = sessions.run(invocation.context(sink), loaded, options)
    if session is None:
        return 0
    if options.detach:
        with contextlib.closing(session):
            print(session.container)
        return 0
    stdin = sys.stdin.fileno() if options.interactive else None
    keys = args["detach_keys"] if session.tty else ""
    code = Interaction(session, stdin=stdin, detach_keys=keys).run()
    return 0 if code == DETACHED else code


def run_options(
    invocation: Invocation, args: dict[str, Any], *, tty: bool, size: tuple[int, int]
) -> RunOptions:
    """Return what the use case needs of the flags and variables; raises PycomposeError."""
    same = (
        "service", "build", "quiet_build", "pull", "quiet_pull", "detach", "remove", "env", "env_files", "labels",
        "name", "cap_add", "cap_drop", "no_deps", "publish", "service_ports", "use_aliases", "user", "volumes",
        "workdir",
    )  # fmt: skip
    return RunOptions(
        **{name: args[name] for name in same},
        command=args["args"],
        entrypoint=_words(args["entrypoint"]),
        interactive=args["interactive"] and not args["detach"],
        tty=tty,
        rows=size[0],
        columns=size[1],
        remove_orphans=args["remove_orphans"] or invocation.switch("COMPOSE_REMOVE_ORPHANS"),
        ignore_orphans=invocation.switch("COMPOSE_IGNORE_ORPHANS"),
        dry_run=invocation.dry_run,
        parallel=invocation.parallel,
    )


def _words(entrypoint: str | None) -> tuple[str, ...] | None:
    """Return `--entrypoint` as a list, by the rules of the compose file."""
    if entrypoint is None:
        return None
    from pycompose.config.syntax.shellwords import split  # noqa: PLC0415 - rarely given

    try:
        return tuple(split(entrypoint))
    except ValueError as exc:
        raise PycomposeError(f"--entrypoint {entrypoint}: {exc}") from None
