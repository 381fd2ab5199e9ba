"""What listing and pruning volumes and networks have in common: lines, filters, and what `prune` spares."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.engine.linux.trees import files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

# An `up` makes volumes and networks before the containers that refer to them.
YOUNG_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRow:
    """One line of `volume ls`. `users` are the names of the containers that mount it."""

    name: str
    driver: str
    mountpoint: str
    labels: dict[str, str]
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One line of `network ls`. `users` are the names of the containers that refer to it, running or not."""

    name: str
    id: str
    driver: str
    labels: dict[str, str]
    users: tuple[str, ...]
    created_ns: int = 0
    internal: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """What was removed, by name and (containers) id, and the bytes that freed."""

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    freed_bytes: int = 0


R = TypeVar("R", VolumeRow, NetworkRow)


def filtered(rows: list[R], filters: Iterable[str], more: Mapping[str, Callable[[R, str], bool]]) -> list[R]:
    """Return the rows that pass KEY=VALUE filters: dangling, label, name, `more`. Raises PycomposeError.

    As docker has it: all labels have to be there, of another key one of its values, and names are regular expressions.
    """
    tests: dict[str, Callable[[R, str], bool]] = {
        "dangling": lambda row, value: is_true("dangling", value) != bool(row.users),
        "label": lambda row, value: matches_labels(row.labels, value),
        "name": lambda row, value: matches("name", value, row.name),
        **more,
    }
    wanted: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key not in tests or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(sorted(tests))}"
            )
        wanted.setdefault(key, []).append(value)
    for key, values in wanted.items():
        enough = all if key == "label" else any
        rows = [row for row in rows if enough(tests[key](row, value) for value in values)]
    return rows


def is_true(key: str, value: str) -> bool:
    """Return the truth that a filter asks for. Raises PycomposeError."""
    if value not in ("true", "1", "false", "0"):
        raise PycomposeError(
            f"--filter {key}={value}: cannot be used", hint='it is "true" (or 1), or "false" (or 0)'
        )
    return value in ("true", "1")


def matches(key: str, value: str, text: str) -> bool:
    """Tell whether the regular expression of a filter is found in `text`. Raises PycomposeError."""
    try:
        return re.search(value, text) is not None
    except re.error as exc:
        raise PycomposeError(f"--filter {key}={value}: not a regular expression: {exc}") from exc


def matches_labels(labels: Mapping[str, str], wanted: str) -> bool:
    """Tell whether `labels` have KEY or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def in_the_making(paths: StatePaths, project: str, created_ns: int) -> bool:
    """Tell whether an `up` may have made something a moment ago, for a container that isn't there yet."""
    young = time.time_ns() - created_ns < YOUNG_NS
    if not (project and young):
        return False
    from pycompose.state.ownership import is_held  # noqa: PLC0415 - for `prune` only

    return is_held(paths, project)


def directory_bytes(path: Path) -> int:
    """Return how much the files below a directory take on disk; links aren't followed."""
    return sum({status.st_ino: status.st_blocks for status in files_below(path)}.values()) * 512
