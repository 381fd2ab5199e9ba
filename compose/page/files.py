"""The compose files of projects: what they say of services without a container, and whether they have changed.

A project is known by its containers, stays known when it is down, and may be the one where the page was opened.
Files are only looked at, until one is another: then they are read, and the planner is asked, once for all open pages.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError
from pycompose.page import plans, rows
from pycompose.page.commandline import ProjectOrigin, described, project_files
from pycompose.state.snapshot import applied

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.client.context import Context
    from pycompose.page.rows import Row
    from pycompose.page.works import Works

# When a file was written, and how long it is; (0, -1) without it.
Stamp = tuple[int, int]
MOST_REMEMBERED = 50
_NO_DESCRIPTION: Row = {"error": "", "reads": [], "profiles": [], "dockerfiles": {}, "services": {}}


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of one project: where it comes from, what its files say, which of them have changed.

    `accepted` are the files as they were when nothing was to be done for them.
    """

    origin: ProjectOrigin
    containers: frozenset[str] = frozenset()
    read: Row = field(default_factory=lambda: _NO_DESCRIPTION)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    accepted: dict[str, Stamp] = field(default_factory=dict)
    steps: list[Row] = field(default_factory=list)
    error: str = ""
    graph: Row | None = None

    @property
    def dockerfiles(self) -> Mapping[str, list[str]]:
        """The services of each Dockerfile."""
        found: Mapping[str, list[str]] = self.read["dockerfiles"]
        return found


class ComposeFiles:
    """Shared by all pages; used by several threads."""

    def __init__(self, context: Context, works: Works, start: tuple[str, ...] | None) -> None:
        """`start` are the global flags of the project where the page was opened, None for no such."""
        self._context = context
        self._works = works
        self._start = start
        self._directory = "/"
        with contextlib.suppress(FileNotFoundError):  # it was removed
            self._directory = os.getcwd()
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def origin(self, project: str) -> ProjectOrigin:
        """Return where a project comes from, one that is down, too. Raises PycomposeError when nobody knows."""
        try:
            return project_files(self._context, project)
        except PycomposeError:
            known = self._known.get(project)
            if known is None:
                raise
            return known.origin

    def look(self, projects: Mapping[str, Iterable[Row]], only: str) -> tuple[dict[str, Row], dict[str, Row]]:
        """Return what files say of each project, and what `up` would do for those that have changed.

        `projects` are those with containers, `only` the page's own one or "". The first are
        `{"services", "profiles", "active", "graph", "error"}`, the others `{"files", "steps", "builds", "error"}`.
        """
        with self._lock:
            self._begin()
            for name, found in projects.items():
                self._see(name, list(found))
            for name in [*self._known]:
                if name not in projects and only in ("", name):
                    self._see_down(name)
            shown = {name: known for name, known in self._known.items() if only in ("", name)}
            said = {name: _said(known, down=name not in projects) for name, known in shown.items()}
            pending = {name: row for name, known in shown.items() if (row := self._pending(known))}
            return said, pending

    # ------------------------------------------------------------------ which projects there are

    def _begin(self) -> None:
        """Get to know the project where the page was opened, at the first look."""
        start, self._start = self._start, None
        if start is None:
            return
        try:
            read = described(self._context, start, self._directory)
        except PycomposeError:
            return
        if "name" not in read:  # without a file there is no project
            return
        self._known.setdefault(
            read["name"],
            _Known(
                origin=ProjectOrigin(
                    name=read["name"],
                    directory=read["directory"],
                    files=tuple(read["files"]),
                    env_files=tuple(read["envFiles"]),
                    profiles=tuple(read["active"]),
                )
            ),
        )

    def _see(self, name: str, found: list[Row]) -> None:
        """Look at the files of a project that has containers."""
        containers = frozenset(row["id"] for row in found if not row["oneoff"])
        known = self._known.get(name)
        others = known is None or containers != known.containers
        if others:
            origin = self._present_origin(name)
            if known is None:
                if origin is None:
                    return
                known = self._known[name] = _Known(origin=origin)
            if origin is not None and known.origin != origin:
                known.origin, known.stamps = origin, {}
            first, known.containers = not known.containers, containers
        else:
            first = False
        assert known is not None  # noqa: S101 - it is one of others
        before = known.stamps
        changed = self._read(known)
        if first:
            made_ns = min((row["created"] for row in found), default=0) * 1_000_000
            known.accepted = {key: stamp for key, stamp in known.stamps.items() if stamp[0] <= made_ns}
        if others:  # images come before what is made of them
            for key, services in known.dockerfiles.items():
                made_ns = (
                    min((row["created"] for row in found if row["service"] in services), default=0)
                    * 1_000_000
                )
                if known.stamps[key][0] <= made_ns:
                    known.accepted[key] = known.stamps[key]
        for new in known.stamps.keys() - before.keys():  # the file that names it has changed, too
            if not first:
                known.accepted.setdefault(new, known.stamps[new])
        if (
            (changed and not first)
            or (first and _unaccepted(known))
            or (others and (known.steps or known.error))
        ):
            self._plan(known)

    def _present_origin(self, name: str) -> ProjectOrigin | None:
        """Return where a project comes from, None when its files don't say it, or don't any more: it may be going."""
        if name in self._known and not applied(self._context.paths, name):
            return None
        try:
            return project_files(self._context, name)
        except PycomposeError:
            return None

    def _see_down(self, name: str) -> None:
        """Look at the files of a project without containers; forget it when they have gone, or too many are known."""
        known = self._known[name]
        gone = not any(os.path.exists(file) for file in known.origin.files)
        down = [key for key, one in self._known.items() if not one.containers]
        if gone or known.origin.isolated or name in down[:-MOST_REMEMBERED]:
            del self._known[name]
            return
        if known.containers:  # the next ones are compared with the files as they will be then
            known.containers = frozenset()
            known.steps, known.accepted = [], {}
        self._read(known)
        known.error = known.read["error"]

    # ------------------------------------------------------------------ what the files say

    def _read(self, known: _Known) -> bool:
        """Read the files again if one is another; tell whether one is, but for Dockerfiles."""
        stamps = _stamps(known)
        if known.stamps and stamps == known.stamps:
            return False
        changed = {name for name, stamp in stamps.items() if known.stamps.get(name) != stamp}
        changed -= known.dockerfiles.keys()
        if changed:
            try:
                read = described(self._context, known.origin.flags(), known.origin.directory)
            except PycomposeError as exc:
                read = {"error": exc.message, "reads": []}
            if read["error"]:  # what was there before is looked at, too
                read["reads"] = [*dict.fromkeys((*known.read["reads"], *read["reads"]))]
            known.read = {**(known.read if read["error"] else _NO_DESCRIPTION), **read}
            known.graph = _graph(known.read)
        known.stamps = _stamps(known)
        return bool(changed)

    def _plan(self, known: _Known) -> None:
        known.error = ""
        try:
            known.steps = plans.changes(plans.plan(self._context, known.origin, ["up", "-d"]))
        except (PycomposeError, OSError) as exc:
            known.steps, known.error = [], str(exc)
        if not known.steps and not known.error:
            known.accepted |= {
                name: stamp for name, stamp in known.stamps.items() if name not in known.dockerfiles
            }

    def _pending(self, known: _Known) -> Row:
        """Return what isn't in effect yet, {} for nothing."""
        builds = self._builds(known)
        if not (known.steps or known.error or builds):
            return {}
        some = bool(known.steps or known.error)
        files = [name for name in _unaccepted(known) if some and name not in known.dockerfiles]
        return {
            "files": [known.origin.shown(name) for name in files or known.origin.files[:1] * (not builds)],
            "steps": known.steps,
            "builds": builds,
            "error": known.error,
        }

    def _builds(self, known: _Known) -> list[Row]:
        """Return the Dockerfiles that have been written since containers of theirs were made, and since any build."""
        if not known.containers:
            return []
        built_ms = self._works.built(known.origin.name)
        found = []
        for name, services in sorted(known.dockerfiles.items()):
            written_ms = known.stamps.get(name, (0, -1))[0] // 1_000_000
            if written_ms > built_ms and known.accepted.get(name) != known.stamps.get(name):
                found.append({"file": known.origin.shown(name), "services": services})
        return found


def _unaccepted(known: _Known) -> list[str]:
    return [name for name, stamp in known.stamps.items() if known.accepted.get(name) != stamp]


def _stamps(known: _Known) -> dict[str, Stamp]:
    names = (*known.origin.watched(), *known.read["reads"], *known.dockerfiles)
    return {name: _stamp(name) for name in dict.fromkeys(names)}


def _stamp(name: str) -> Stamp:
    try:
        status = os.stat(name)
    except OSError:
        return 0, -1
    return status.st_mtime_ns, status.st_size


def _needs(said: Row) -> list[dict[str, str]]:
    return [{"service": one, "condition": rows.WANTED.get(how, "started")} for one, how in said["needs"]]


def _graph(read: Row) -> Row | None:
    """Return where the services stand that have no containers yet."""
    nodes = [
        {"service": name, "oneoff": False, "needs": _needs(said)} for name, said in read["services"].items()
    ]
    return rows.graph(nodes) if nodes else None


def _said(known: _Known, *, down: bool) -> Row:
    return {
        "services": {name: said["image"] for name, said in known.read["services"].items()},
        "profiles": known.read["profiles"],
        "active": list(known.origin.profiles),
        "graph": known.graph if down else None,
    }
