"""The projects as one page knows them, and what is other than that: read from the disk, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.page import rows
from pycompose.state.snapshot import STANDALONE, claims, projects

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.page.rows import Row


class ProjectsView:
    """The machine, or the one `project` (else "")."""

    def __init__(self, context: Context, project: str) -> None:
        self._context = context
        self._project = project
        self.known: dict[str, dict[str, Row]] = {}
        self._shapes: dict[str, object] = {}

    def snapshot(self) -> Row:
        """Return all projects: `{NAME: {"rows": {ID: row}, "graph"}}`."""
        found = {}
        for name in self._projects():
            known = rows.container_rows(self._context, name)
            if known:
                self.known[name] = known
                found[name] = {"rows": known, "graph": self._graph(name)}
        return found

    def changes(self, changed: set[tuple[str, str]], *, look: bool) -> list[Row]:
        """Return what is other in each project: of these containers (project, id), or everywhere."""
        fresh: dict[str, dict[str, Row | None]] = {}
        for project, key in changed:
            fresh.setdefault(project, {})[key] = rows.one_row(self._context, key)
        if look:
            for project in {*self._projects(), *self.known}:
                now = rows.container_rows(self._context, project)
                gone = dict.fromkeys(self.known.get(project, {}).keys() - now.keys())
                fresh[project] = {**gone, **now}
        return [told for project, found in fresh.items() if (told := self._change(project, found))]

    def project_of(self, container: str, labelled: str) -> str:
        """Return where a container is: what its label says, if that is no word of somebody else's."""
        theirs = next((key for key, known in self.known.items() if container in known), "")
        return theirs or (labelled if container in claims(self._context.paths, labelled) else STANDALONE)

    def ids(self) -> frozenset[str]:
        """Return all containers."""
        return frozenset(key for known in self.known.values() for key in known)

    def _projects(self) -> list[str]:
        return [name for name in projects(self._context.paths) if self._project in ("", name)]

    def _change(self, project: str, found: dict[str, Row | None]) -> Row:
        known = self.known.setdefault(project, {})
        news = {key: row for key, row in found.items() if known.get(key) != row}
        for key, row in news.items():
            if row is None:
                known.pop(key, None)
            else:
                known[key] = row
        if not known:
            self.known.pop(project)
            self._shapes.pop(project, None)
        if not news:
            return {}
        told: Row = {"project": project, "rows": news}
        shape = _shape(known)
        if known and self._shapes.get(project) != shape:
            told["graph"] = self._graph(project)
        return told

    def _graph(self, project: str) -> Row | None:
        """Return where the services stand; containers outside any project have no arrows."""
        known = self.known[project]
        self._shapes[project] = _shape(known)
        return None if project == STANDALONE else rows.graph(known.values())


def _shape(known: dict[str, Row]) -> object:
    """Return what the drawing of a project depends on."""
    return {
        (row["service"], need["service"], need["condition"])
        for row in known.values()
        if not row["oneoff"]
        for need in [*row["needs"], {"service": "", "condition": ""}]
    }
