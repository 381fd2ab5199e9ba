"""What listing and pruning volumes and networks have in common: lines, filters, and what `prune` spares."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, TypeVar

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import PycomposeError
from pycompose.state.ownership import is_held

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
    """What was removed, by name, and the bytes that freed."""

    names: tuple[str, ...] = ()
    freed_bytes: int = 0


R = TypeVar("R", VolumeRow, NetworkRow)


def filtered(rows: list[R], filters: Iterable[str], more: Mapping[str, Callable[[R, str], bool]]) -> list[R]:
    """Return the rows that pass all KEY=VALUE filters: dangling, label, name, `more`. Raises PycomposeError."""
    tests: dict[str, Callable[[R, str], bool]] = {
        "dangling": lambda row, value: bool(row.users) != (value.lower() in ("true", "1")),
        "label": lambda row, value: matches_labels(row.labels, value),
        "name": lambda row, value: value in row.name,
        **more,
    }
    for text in filters:
        key, equals, value = text.partition("=")
        test = tests.get(key)
        if test is None or not equals:
            raise PycomposeError(
                f"--filter {text}: cannot be used", hint=f"known: {', '.join(sorted(tests))}"
            )
        rows = [row for row in rows if test(row, value)]
    return rows


def matches_labels(labels: Mapping[str, str], wanted: str) -> bool:
    """Tell whether `labels` have KEY or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def in_the_making(paths: StatePaths, project: str, created_ns: int) -> bool:
    """Tell whether an `up` may have made something a moment ago, for a container that isn't there yet."""
    young = time.time_ns() - created_ns < YOUNG_NS
    return bool(project) and young and is_held(paths, project)


def directory_bytes(path: Path) -> int:
    """Return how much the files below a directory take on disk; links aren't followed."""
    total = 0
    seen: set[int] = set()
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                if status.st_ino not in seen:
                    seen.add(status.st_ino)
                    total += status.st_blocks * 512
    return total
