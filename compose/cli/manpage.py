"""Manual pages out of the commands: man(7), one page for each, `pycompose-image-build.1`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEE_ALSO = (
    "docs/README.md of the sources has the documents: attributes, extensions, differences, tests, walls."
)


def pages(root: click.Command, program: str, version: str) -> Iterator[tuple[str, str]]:
    """Yield name of the file and text of each command's page, the program's own first."""
    todo: list[tuple[tuple[str, ...], click.Command]] = [((program,), root)]
    while todo:
        words, command = todo.pop(0)
        inner = list(_inner(command))
        yield f"{'-'.join(words)}.1", _page(words, command, inner, version)
        todo += [((*words, name), one) for name, one in inner]


def _inner(command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield name, found


def _page(
    words: tuple[str, ...], command: click.Command, inner: list[tuple[str, click.Command]], version: str
) -> str:
    context = click.Context(command, info_name=" ".join(words))
    usage = " ".join(command.collect_usage_pieces(context))
    what = " ".join((command.help or "").split("\b")[0].split()).rstrip(".")
    lines = [
        f'.TH "{_text("-".join(words)).upper()}" 1 "" "{version}"',
        ".SH NAME",
        f"{_text('-'.join(words))} \\- {_text(what)}",
        ".SH SYNOPSIS",
        f".B {_text(' '.join(words))}",
        _text(usage),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    records = [
        record
        for param in command.get_params(context)
        if isinstance(param, click.Option) and (record := param.get_help_record(context))
    ]
    if records:
        lines.append(".SH OPTIONS")
        for flag, meaning in records:
            lines += [".TP", f".B {_text(flag)}", _text(meaning)]
    if inner:
        lines.append(".SH COMMANDS")
        for name, one in inner:
            lines += [
                ".TP",
                f".B {_text('-'.join((*words, name)))}(1)",
                _text(one.get_short_help_str(limit=200)),
            ]
    return "\n".join([*lines, ".SH SEE ALSO", _text(_SEE_ALSO), ""])


def _paragraphs(text: str) -> Iterator[str]:
    r"""Yield the lines of a help text; what stands behind `\b` keeps its own (click's mark)."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = paragraph.strip()
        if words.startswith("\b"):
            yield ".nf"
            yield from (_text(line) for line in words.removeprefix("\b").strip("\n").splitlines())
            yield ".fi"
        elif words:
            yield ".PP"
            yield _text(" ".join(words.split()))


def _text(words: str) -> str:
    """Return text as roff prints it: no escapes, no hyphens that a reader can't copy, no line that is a request."""
    shown = " ".join(words.split(" ")).replace("\\", "\\e").replace("-", "\\-")
    shown = "".join(char if char < "\x7f" else f"\\[u{ord(char):04X}]" for char in shown)  # groff_char(7)
    return f"\\&{shown}" if shown[:1] in (".", "'") else shown
