"""`pycompose help up`: the same as `pycompose up --help`; and manual pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from pycompose.engine.errors import PycomposeError
from pycompose.version import VERSION

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _commands(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what may follow the words before: commands, and those of a group."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell that completes needs it

    command: click.Command | None = ctx.find_root().command
    for word in ctx.params.get("words") or ():
        command = command.get_command(ctx, word) if isinstance(command, click.Group) else None
    if not isinstance(command, click.Group):
        return []
    names = [name for name in command.list_commands(ctx) if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names]


@click.command(help="Show what a command does.")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_commands)
@click.option(
    "--man-pages",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write manual pages of all commands, for example to /usr/local/share/man/man1.",
)
@click.pass_context
def command(ctx: click.Context, /, words: tuple[str, ...], folder: Path | None) -> None:
    """Print the help of a command, of all without one."""
    root = ctx.find_root()
    if folder is not None:
        from pycompose.cli.manpage import pages  # noqa: PLC0415 - only here

        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in pages(root.command, "pycompose", f"pycompose {VERSION}"):
                (folder / name).write_text(text, encoding="utf-8")
        except OSError as exc:
            raise PycomposeError(f"{exc.filename}: cannot write: {exc.strerror}") from exc
        return
    root.command.main([*words, "--help"], prog_name=root.info_name, standalone_mode=False, obj=ctx.obj)
