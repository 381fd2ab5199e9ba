"""`pycompose completion SHELL`: the script that makes a shell ask us (click's protocol)."""

from __future__ import annotations

import click
from pycompose.cli.completing import CLASSES
from pycompose.cli.completion import COMPLETES

PROGRAM = "pycompose"
_INSTALL = {
    "bash": "pycompose completion bash > ~/.local/share/bash-completion/completions/pycompose",
    "zsh": 'pycompose completion zsh > "${fpath[1]}/_pycompose"',
    "fish": "pycompose completion fish > ~/.config/fish/completions/pycompose.fish",
}


@click.command(
    help="Print the script for shell completion.\n\n\b\n" + "\n".join(_INSTALL.values()),
)
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script; names of services are asked for live."""
    click.echo(CLASSES[shell](ctx.find_root().command, {}, PROGRAM, COMPLETES).source())
