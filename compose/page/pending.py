"""Whether a project's compose files have changed since its containers were made, and what `up` would do about it.

The files are only looked at, until one is another: then the planner is asked, once for all pages that are open.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError
from pycompose.page import plans
from pycompose.page.commandline import project_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.client.context import Context
    from pycompose.page.commandline import ProjectOrigin
    from pycompose.page.rows import Row

# When a file was written, and how long it is; (0, -1) without it.
Stamp = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of one project: which containers it had then, its files, and the planner's answer."""

    containers: frozenset[str] = frozenset()
    files: ProjectOrigin | None = None
    stamps: tuple[Stamp, ...] | None = None
    answer: Row = field(default_factory=dict)


class PendingChanges:
    """Shared by all pages; used by several threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def look(self, projects: Mapping[str, Iterable[Row]]) -> dict[str, Row]:
        """Return `{"file", "steps", "error"}` for each of these projects (their rows) whose files are known."""
        with self._lock:
            for gone in self._known.keys() - projects.keys():
                del self._known[gone]
            return {name: found for name, rows in projects.items() if (found := self._one(name, list(rows)))}

    def _one(self, project: str, rows: list[Row]) -> Row:
        known = self._known.setdefault(project, _Known())
        containers = frozenset(row["id"] for row in rows if not row["oneoff"])
        others = containers != known.containers
        if others:
            known.containers = containers
            try:
                known.files = project_files(self._context, project)
            except PycomposeError:
                known.files, known.answer = None, {}
        if known.files is None:
            return {}
        stamps = tuple(_stamp(name) for name in known.files.watched())
        before, known.stamps = known.stamps, stamps
        if before is None:  # a file that is older than all containers is what they were made of
            made_ns = min((row["created"] for row in rows), default=0) * 1_000_000
            asks = max(written_ns for written_ns, _ in stamps) > made_ns
        else:
            asks = before != stamps or (
                others and bool(known.answer.get("steps") or known.answer.get("error"))
            )
        if asks:
            known.answer = self._ask(known.files)
        return known.answer

    def _ask(self, files: ProjectOrigin) -> Row:
        shown = os.path.relpath(files.files[0], files.directory)
        steps: list[Row] = []
        error = ""
        try:
            steps = plans.changes(plans.plan(self._context, files, ["up", "-d"]))
        except (PycomposeError, OSError) as exc:
            error = str(exc)
        return {"file": shown, "steps": steps, "error": error}


def _stamp(name: str) -> Stamp:
    try:
        status = os.stat(name)
    except OSError:
        return 0, -1
    return status.st_mtime_ns, status.st_size
