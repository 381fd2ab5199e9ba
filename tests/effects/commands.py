"""docs/commands.md, out of the commands themselves: `python -m tests.effects.commands` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tests.effects.table import TESTS, commands

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = TESTS.parent / "docs/commands.md"
HEAD = """\
# Commands

Every command and flag; `pycompose COMMAND --help` (or `-h`) says the same. `pycompose compose …` takes them, too.
What a flag does differently from Docker Compose is in [differences.md](differences.md), which ones have no
effect is in [attributes.md](attributes.md).

This file is made from the commands (`python -m tests.effects.commands`).
"""


# What click has in front of a paragraph that isn't to be wrapped.
VERBATIM = "\b\n"


def text() -> str:
    """Return the document."""
    return "\n".join([HEAD, *_contents(), *_sections()])


def _shown() -> dict[str, click.Command]:
    return {words: command for words, command in commands().items() if not command.hidden}


def _contents() -> Iterator[str]:
    yield "| command | |"
    yield "| --- | --- |"
    for words, command in _shown().items():
        if words and " " not in words:
            yield f"| [{words}](#{_anchor(words)}) | {_cell(command.get_short_help_str(limit=200))} |"
    yield ""


def _sections() -> Iterator[str]:
    for words, command in _shown().items():
        yield f"## {words or 'pycompose'}"
        yield ""
        if isinstance(command, click.Group) and words:
            inner = ", ".join(f"[{name}](#{_anchor(f'{words} {name}')})" for name in _names(command))
            yield f"{_sentence(command)} {inner}."
            yield ""
            continue
        yield f"`{_usage(words, command)}`"
        yield ""
        yield _sentence(command)
        yield ""
        yield from _verbatim(command)
        yield from _options(command, of_all=not words)


def _names(group: click.Group) -> list[str]:
    context = click.Context(group)
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [name for name, command in found if command is not None and not command.hidden]


def _usage(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(["pycompose", *words.split()]))
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def _anchor(words: str) -> str:
    """Return what a heading is linked by."""
    return words.replace(" ", "-")


def _sentence(command: click.Command) -> str:
    text = (command.help or command.short_help or "").partition(VERBATIM)[0]
    return " ".join(text.split()).rstrip(".") + "."


def _verbatim(command: click.Command) -> Iterator[str]:
    """Yield what a command's help has as it stands: a table, or lines to copy."""
    text = (command.help or "").partition(VERBATIM)[2]
    if text:
        yield from ("```", *text.strip("\n").splitlines(), "```", "")


def _options(command: click.Command, *, of_all: bool) -> Iterator[str]:
    context = click.Context(command)
    records = [
        record
        for param in command.get_params(context)
        if isinstance(param, click.Option)
        and "--help" not in param.opts
        and (of_all or "--dry-run" not in param.opts)
        and (record := param.get_help_record(context))
    ]
    if records:
        yield "| flag | |"
        yield "| --- | --- |"
        for flag, what in records:
            yield f"| `{_cell(flag)}` | {_cell(what)} |"
        yield ""


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
