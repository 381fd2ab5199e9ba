"""What can be wrong with a template, or with what it asks of the data."""

from __future__ import annotations

from pycompose.engine.errors import PycomposeError


class GoTemplateError(PycomposeError):
    """A template that cannot be read (`offset` says where), or asks for something that isn't there."""

    def __init__(self, source: str, offset: int, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"--format: template parsing error: {place(source, offset)}: {reason}", hint=hint)


class GoTemplateSyntaxError(GoTemplateError):
    """A template that cannot be read; `inspect` and its likes end with 64 then, as docker's do."""

    exit_code = 64


class CallError(Exception):
    """A function of a template cannot work on what it was given."""


def place(source: str, offset: int) -> str:
    """Return LINE:COLUMN of an offset; lines count from 1 and columns from 0, as Go's do."""
    line_start = source.rfind("\n", 0, offset) + 1
    return f"{source.count(chr(10), 0, offset) + 1}:{offset - line_start}"
