"""`pycompose help up`: the same as `pycompose up --help`."""

from __future__ import annotations

import click


@click.command(help="Show what a command does.")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...]) -> None:
    """Print the help of a command, of all without one."""
    root = ctx.find_root()
    root.command.main([*words, "--help"], prog_name=root.info_name, standalone_mode=False, obj=ctx.obj)
