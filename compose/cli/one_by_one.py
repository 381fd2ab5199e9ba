"""What is done for each of several names, of which some may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def each(names: Iterable[str], work: Callable[[str], str]) -> None:
    """Do `work` for every name and print what it returns, unless that is ""; then raise what went wrong."""
    failures: list[PycomposeError] = []
    for name in names:
        try:
            if done := work(name):
                print(done, flush=True)
        except PycomposeError as exc:
            failures.append(exc)
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("some are left", failures)
