"""The watcher in the background: how it is started, and which process it is.

`projects/P/watch.json` is there as long as a project is to be watched, a reboot included; `run/projects/P/watcher.json`
is a claim of the process that does it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import StateError
from pycompose.engine.state import boot_id, start_ticks
from pycompose.engine.statefiles import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCommand:
    """What the command line of a watcher is, where it runs, and in which environment, as its caller had it."""

    args: tuple[str, ...]
    directory: str
    environment: dict[str, str]


def watch_log(paths: StatePaths, project: str) -> Path:
    """Return the file that a watcher in the background writes to."""
    return paths.project(project) / "watch.log"


def read_watch(paths: StatePaths, project: str) -> WatchCommand | None:
    """Return how the project is to be watched, None when it isn't."""
    try:
        return from_json(WatchCommand, read_json(paths.project(project) / "watch.json"))
    except (FileNotFoundError, StateError, TypeError):
        return None


def write_watch(paths: StatePaths, project: str, command: WatchCommand) -> None:
    """Note that the project is to be watched. Raises OSError."""
    write_json(paths.project(project) / "watch.json", plain(command))


def remove_watch(paths: StatePaths, project: str) -> None:
    """Forget it, and what it has written."""
    for path in (paths.project(project) / "watch.json", watch_log(paths, project)):
        path.unlink(missing_ok=True)


def claim_watcher(paths: StatePaths, project: str, pid: int) -> None:
    """Note which process it is. Raises OSError."""
    claim = {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}
    write_json(paths.project_run(project) / "watcher.json", claim, durable=False)


def background_watcher(paths: StatePaths, project: str) -> int:
    """Return the process that watches the project in the background, 0 when there is none (/proc is the proof)."""
    try:
        claim = read_json(paths.project_run(project) / "watcher.json")
    except (FileNotFoundError, StateError):
        return 0
    pid = int(claim.get("pid", 0))
    with contextlib.suppress(OSError):
        if claim.get("boot_id") == boot_id() and claim.get("start_ticks") == start_ticks(pid):
            return pid
    return 0
