"""The command line: global flags, the commands of the table, the place where errors become text and codes.

A command's module is imported only when that command is asked for.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from pycompose.cli.boundary import INTERRUPTED_EXIT, SIGPIPE_EXIT, guarded
from pycompose.cli.completion import COMPLETES, complete_profiles, names_of
from pycompose.cli.errors import quiet_stdout, report
from pycompose.cli.invocation import Invocation
from pycompose.cli.options import PROGRESS
from pycompose.cli.switches import plain_switches
from pycompose.commands import COMMANDS, REPLACED


@contextmanager
def _ended_by_pipe() -> Iterator[None]:
    """End as by SIGPIPE when nobody reads what the block writes; click would make it a failure."""
    try:
        yield
    except BrokenPipeError:
        quiet_stdout()
        raise click.exceptions.Exit(SIGPIPE_EXIT) from None


class Commands(click.Group):
    """A group that knows its commands by name and imports one when it is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the global flags, also those spelled `--dry-run=true`."""
        return super().parse_args(ctx, plain_switches(self, args))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the global flags; `--help` may find nobody who reads it."""
        with _ended_by_pipe():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _ended_by_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module, None when there is no such command."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = importlib.import_module(row.module).command
        assert isinstance(command, click.Command)  # noqa: S101 - what the table promises
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one gets a suggestion."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], list(COMMANDS), n=1)
            advice = REPLACED.get(args[0]) or (f"did you mean {near[0]!r}?" if near else "")
            raise click.UsageError(f"unknown command {args[0]!r}" + (f"; {advice}" if advice else ""))
        name, command, rest = super().resolve_command(ctx, args)
        if isinstance(command, click.Group) and rest:
            inner = command.get_command(ctx, rest[0])
            return name, command, [rest[0], *plain_switches(inner, rest[1:])] if inner else rest
        return name, command, plain_switches(command, rest) if command else rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.help) for name, row in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete command names and global flags without importing the commands."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=row.help)
            for name, row in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="Compose file (repeat; - is stdin).",
)
@click.option(
    "-p", "--project-name", metavar="NAME", help="Project name.", shell_complete=names_of("project")
)
@click.option(
    "--project-directory",
    "--workdir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Base of relative paths (default: where the first compose file is).",
)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    help="Profile to enable (repeat; * is all).",
    shell_complete=complete_profiles,
)
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", type=click.Path(),
              help="Environment file for interpolation (repeat; later ones win).")  # fmt: skip
@click.option(
    "--progress",
    type=click.Choice(PROGRESS),
    help="How progress is shown on standard error (default: tty on a terminal, else plain).",
)
@click.option("--ansi", type=click.Choice(["never", "always", "auto"]), help="Colours and cursor codes.")
@click.option("--no-ansi", is_flag=True, hidden=True)
@click.option("--parallel", type=int, metavar="N", help="Most engine calls at the same time (-1: no limit).")
@click.option("--dry-run", is_flag=True, help="Show the steps, change nothing.")
@click.option("--all-resources", is_flag=True, help="Include networks and volumes that no service uses.")
@click.option("--compatibility", is_flag=True, help="Names with underscores, as Compose v1 made them.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--verbose", is_flag=True, hidden=True)
@click.option("-v", "--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def cli(ctx: click.Context, /, **params: Any) -> None:
    """Run compose files on Linux without Docker."""
    if params["no_ansi"]:
        params["ansi"] = "never"
    ctx.obj.fill(params)
    if params["version"]:
        from pycompose.cli.commands.version import pretty

        click.echo(pretty())
        ctx.exit(0)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (usage errors are 1, as in Compose)."""
    invocation = Invocation()
    if COMPLETES in os.environ:
        from pycompose.cli import completing

        completing.register()

    def run() -> object:
        try:
            return cli.main(
                args=None if argv is None else list(argv),
                prog_name="pycompose",
                standalone_mode=False,
                obj=invocation,
            )
        except click.exceptions.Abort:
            return INTERRUPTED_EXIT
        except click.exceptions.Exit as exc:
            return int(exc.exit_code)
        except click.ClickException as exc:
            _usage(exc, invocation)
            return invocation.failure_code

    return guarded(run, invocation)


# What click calls the types of values, and what people do.
_TYPES = {"float": "number", "integer": "whole number"}
_WRONG_TYPE = re.compile("is not a valid (float|integer)(?: range)?$")


def _usage(error: click.ClickException, invocation: Invocation) -> None:
    colour = invocation.colour(sys.stderr)
    from pycompose.engine.errors import PycomposeError

    text = " ".join(error.format_message().split()).rstrip(".")
    if found := _WRONG_TYPE.search(text):
        unit = " of seconds" if getattr(getattr(error, "param", None), "metavar", None) == "SECONDS" else ""
        text = f"{text[: found.start()]}is not a {_TYPES[found[1]]}{unit}"
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "pycompose"
    shown = PycomposeError(text[:1].lower() + text[1:], hint=f"see '{path} --help'")
    report(shown, stream=sys.stderr, colour=colour)
