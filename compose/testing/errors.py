"""What can go wrong with a test environment, with all that is needed to see why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.testing.results import ServiceReport


class StackFailed(PycomposeError):  # noqa: N818 - the tree of engine/errors.py reads as sentences
    """A stack could not be started, or isn't as it should be: `reports` has each of its containers."""

    def __init__(
        self, message: str, reports: Sequence[ServiceReport] = (), *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reports = tuple(reports)
        self.details = "\n".join(str(report) for report in self.reports)

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.message, self.details)))


class NotReady(StackFailed):
    """Something that was waited for has not happened in time, or can't happen any more."""


def explained(error: PycomposeError) -> str:
    """Return all that an error says, its hint as the last line: for where no traceback shows it."""
    return f"{error}\nhint: {error.hint}" if error.hint else str(error)
