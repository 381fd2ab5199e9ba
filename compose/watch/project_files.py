"""The compose files themselves: a change is told of, with what `up` would do, and done with `--apply`."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from pycompose.client import changes
from pycompose.client.options import UpOptions
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.events import Phase
from pycompose.watch.reports import WatchReport
from pycompose.watch.silence import Silence

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.events import Event

# What a plan says of things that stay as they are.
_SAME = frozenset({"Running", "Exists", "Found"})


class ProjectFiles:
    """What a project was loaded from. `reload` loads it anew, `changed` is called with what it is now."""

    def __init__(
        self,
        context: Context,
        loaded: Loaded,
        reload: Callable[[], Loaded],
        tell: Callable[[WatchReport], None],
        changed: Callable[[Loaded], None] | None,
    ) -> None:
        """Without `changed` changes are only told of."""
        self._context, self._reload = context, reload
        self._tell, self._changed = tell, changed
        found = (*loaded.files, *loaded.env_files, os.path.join(loaded.directory, ".env"))
        self.paths = frozenset(os.path.abspath(path) for path in found if path != "-")
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        self._heard: set[str] = set()
        self._silence = Silence()

    def look(self, paths: set[str]) -> None:
        """Tell of the change of these files; on a thread, for loading and planning take a while."""
        with self._lock:
            first = not self._heard
            self._heard |= paths
            self._silence.broken(time.monotonic(), first=first)
        if first:
            threading.Thread(target=self._look, name="project", daemon=True).start()

    def _look(self) -> None:
        """Wait for a silence: an editor that writes into a file empties it first."""
        while (left_s := self._silence.left_s(time.monotonic())) > 0:
            time.sleep(left_s)
        with self._lock:
            paths, self._heard = sorted(self._heard), set()
        names = ", ".join(map(os.path.basename, paths))
        facts: dict[str, object] = {"files": paths}
        with self._planning:
            try:
                loaded = self._reload()
                plan = self._plan(loaded)
            except PycomposeError as exc:
                told = {**facts, "error": exc.message}
                text = f"{names} has changed, and can't be used: {exc.message}"
                self._tell(
                    WatchReport(kind="project", text=text, facts=told, error=True, hint=exc.hint or "")
                )
                return
            facts["plan"] = plan
            would = "; ".join(plan) if plan else "nothing"
            if self._changed is None or not plan:
                text = f"{names} has changed: `up` would do: {would}"
            else:
                text = f"{names} has changed: doing: {would}"
            self._tell(WatchReport(kind="project", text=text, facts=facts))
            if self._changed is not None and plan:
                self._changed(loaded)

    def _plan(self, loaded: Loaded) -> list[str]:
        """Return what `up` would do, a sentence each."""
        found: dict[str, str] = {}
        why: dict[str, str] = {}

        def take(event: Event) -> None:
            # The first thing said of something tells why; what follows from it comes later.
            if event.details:
                why.setdefault(event.subject, f" {event.details}")
            if event.phase is Phase.DONE and event.text not in _SAME:
                found.setdefault(event.subject, f"{event.subject} {event.text}{why.get(event.subject, '')}")

        changes.up(replace(self._context, sink=take), loaded, UpOptions(dry_run=True))
        return list(found.values())
