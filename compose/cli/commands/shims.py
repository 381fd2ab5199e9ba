"""`pycompose system plugin …` and `system shim …`: being found under docker's names."""

from __future__ import annotations

from pathlib import Path

import click
from pycompose.cli.commands.systemd import program
from pycompose.cli.invocation import Invocation
from pycompose.dockercli import install
from pycompose.dockercli.plugin import PROGRAM_WORD

replace_option = click.option("-f", "--force", is_flag=True, help="Replace a file that isn't ours.")
folder_argument = click.argument(
    "folder", required=False, metavar="[FOLDER]", type=click.Path(path_type=Path)
)
BIN = Path("/usr/local/bin")


@click.group(
    help="Be what `docker compose` runs: docker's own command line finds the plugin and needs no daemon."
)
def plugin() -> None:
    """Hold the commands below."""


@plugin.command("install", help="Make the plugin, in FOLDER or where docker looks for this user's.")
@folder_argument
@replace_option
@click.pass_obj
def plugin_install(invocation: Invocation, /, folder: Path | None, *, force: bool) -> None:
    """Write it, and say where."""
    path = _plugin(invocation, folder)
    install.write(path, program(), PROGRAM_WORD, force=force)
    click.echo(path)


@plugin.command("remove", help="Remove it.")
@folder_argument
@click.pass_obj
def plugin_remove(invocation: Invocation, /, folder: Path | None) -> None:
    """Remove it, and say from where."""
    path = _plugin(invocation, folder)
    install.remove(path)
    click.echo(path)


def _plugin(invocation: Invocation, folder: Path | None) -> Path:
    return Path(folder or install.plugins(invocation.environment)).absolute() / install.PLUGIN


@click.group(help="Be called `docker` and `docker-compose`, for programs that run these.")
def shim() -> None:
    """Hold the commands below."""


name_option = click.option(
    "--name", "names", multiple=True, type=click.Choice(list(install.SHIMS)), help="Only this one (repeat)."
)


@shim.command("install", help=f"Make the programs in FOLDER (default: {BIN}).")
@folder_argument
@name_option
@replace_option
def shim_install(folder: Path | None, *, names: tuple[str, ...], force: bool) -> None:
    """Write them, and say where."""
    for name in names or install.SHIMS:
        path = (folder or BIN).absolute() / name
        install.write(path, program(), install.SHIMS[name], force=force)
        click.echo(path)


@shim.command("remove", help="Remove those that are ours.")
@folder_argument
@name_option
def shim_remove(folder: Path | None, *, names: tuple[str, ...]) -> None:
    """Remove them, and say from where."""
    for name in names or install.SHIMS:
        path = (folder or BIN).absolute() / name
        if names or install.is_ours(path):
            install.remove(path)
            click.echo(path)
