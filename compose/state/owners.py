"""Whose life a project hangs on: `projects/NAME/owners.json`, the processes that it ends with.

A test's stack is owned by the test's process, or by several that share it. Other projects have no such file. It lies
on the disk, not at run time: after a crash of the machine the stack is still nobody's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import StateError
from pycompose.engine.state import boot_id, running_ticks, start_ticks
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import read_json, write_json
from pycompose.state.ownership import is_held
from pycompose.state.snapshot import projects

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process: its pid counts only with its start time (clock ticks after boot) and that boot's id."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Owner:
        """Return the process that has `pid` now; one that has none is dead from the start."""
        return cls(pid=pid, start_ticks=start_ticks(pid), boot_id=boot_id())

    @property
    def alive(self) -> bool:
        """Whether it is still that process; a zombie isn't."""
        return (
            self.start_ticks > 0 and self.boot_id == boot_id() and running_ticks(self.pid) == self.start_ticks
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Whom a project ends with, dead ones too; with `volumes` its data goes, too."""

    owners: tuple[Owner, ...] = ()
    volumes: bool = False


def read_owners(paths: StatePaths, project: str) -> Owners | None:
    """Return what was noted; None for a project that is nobody's, or is kept.

    Raises StateError.
    """
    try:
        noted = read_json(_file(paths, project))
        return None if noted.get("kept") else from_json(Owners, noted)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as exc:
        raise StateError(
            f"{_file(paths, project)}: cannot read state: damaged", hint="remove the file"
        ) from exc


def write_owners(paths: StatePaths, project: str, owners: Owners) -> None:
    """Note the owners, before anything is made for them. Raises OSError."""
    make_directory(paths.project(project))
    write_json(_file(paths, project), {"owners": [], **plain(owners)}, durable=False)


def keep(paths: StatePaths, project: str, *, volumes: bool) -> None:
    """Let the project outlive whoever has started it, until somebody collects what is `kept`. Raises OSError."""
    make_directory(paths.project(project))
    noted = {**plain(Owners(volumes=volumes)), "owners": [], "kept": True}
    write_json(_file(paths, project), noted, durable=False)


def kept(paths: StatePaths) -> dict[str, Owners]:
    """Return the projects that have been left behind on purpose."""
    found = {}
    for name in projects(paths):
        with contextlib.suppress(StateError, FileNotFoundError):
            noted = read_json(_file(paths, name))
            if noted.get("kept"):
                found[name] = from_json(Owners, noted)
    return found


def ownerless(paths: StatePaths) -> dict[str, Owners]:
    """Return the projects whose owners are all dead and that no supervisor looks after: it would take them down."""
    found = {}
    for name in projects(paths):
        with contextlib.suppress(StateError):
            noted = read_owners(paths, name)
            if noted is not None and not any(o.alive for o in noted.owners) and not is_held(paths, name):
                found[name] = noted
    return found


def _file(paths: StatePaths, project: str) -> Path:
    return paths.project(project) / "owners.json"
