"""What is being done to projects: what the page has started, and what commands elsewhere tell of.

Each piece of work has steps, as `--progress json` prints them, builds those of BuildKit's records. Everything has an
end: works, steps and lines of output are forgotten, the oldest first.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from pycompose.engine.state import running_ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pycompose.page.rows import Row

MOST_WORKS = 50
MOST_STEPS = 500
MOST_LINES = 100
MOST_TEXT = 2000
WORKING, DONE, FAILED = "working", "done", "failed"
_STATES = {"Working": WORKING, "Done": DONE, "Warning": DONE, "Error": FAILED}


class Work:
    """One piece of work; `version` of it and of its steps is that of the latest change."""

    def __init__(self, key: str, project: str, title: str, version: int, pid: int) -> None:
        self.key = key
        self.pid = pid
        self.about: Row = {
            "id": key, "project": project, "title": title, "state": WORKING, "began": _now_ms(), "ended": 0,
            "error": "",
        }  # fmt: skip
        self.version = version
        self.steps: dict[str, tuple[int, Row]] = {}
        self.lines: deque[str] = deque(maxlen=MOST_LINES)


class Works:
    """All of them; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Work] = {}
        self._version = 0
        self._listeners: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def listen(self, told: Callable[[], None]) -> Iterator[None]:
        """Have `told` called, by any thread, when there is news."""
        with self._lock:
            self._listeners.append(told)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(told)

    def knows(self, key: str) -> bool:
        """Tell whether there is such a piece of work."""
        with self._lock:
            return key in self._all

    def begin(self, key: str, project: str, title: str, *, pid: int = 0) -> None:
        """Take note of a piece of work that begins, by another process if `pid` is one."""
        with self._changing():
            self._all[key] = Work(key, project, title, self._version, pid)
            over = [one.key for one in self._all.values() if one.about["state"] != WORKING]
            for old in (over or list(self._all))[: max(len(self._all) - MOST_WORKS, 0)]:
                del self._all[old]

    def tell(self, key: str, event: Row) -> None:
        """Take note of what has been told of one."""
        with self._changing():
            work = self._all.get(key)
            if work is None:
                return
            work.version = self._version
            for step, row in _steps(event):
                if step in work.steps or len(work.steps) < MOST_STEPS:
                    before = work.steps.get(step, (0, {}))[1]
                    work.steps[step] = (self._version, {**before, **row})
            work.lines.extend(_lines(event))

    def end(self, key: str, error: str = "") -> None:
        """Take note of the end of one."""
        with self._changing():
            if (work := self._all.get(key)) is not None:
                work.version = self._version
                work.about |= {"state": FAILED if error else DONE, "error": error, "ended": _now_ms()}

    def built(self, project: str) -> int:
        """Return when the last build of a project began that has ended well, in milliseconds since 1970; 0 is never."""
        with self._lock:
            found = [
                work.about["began"]
                for work in self._all.values()
                if work.about["project"] == project and work.about["state"] == DONE
                if any("cached" in row for _, row in work.steps.values())
            ]
        return max(found, default=0)

    def abandon(self, key: str) -> None:
        """Take note that who does one is gone, without a word if it hasn't ended."""
        with self._lock:
            working = (work := self._all.get(key)) is not None and work.about["state"] == WORKING
        if working:
            self.end(key, "its process has ended")

    def bury(self) -> None:
        """Note the end of what processes did that are gone without a word; a zombie is gone."""
        with self._lock:
            working = [one for one in self._all.values() if one.about["state"] == WORKING and one.pid]
        for work in working:
            if not running_ticks(work.pid):
                self.abandon(work.key)

    def news(self, since: int) -> tuple[int, list[Row]]:
        """Return the present version, and what has changed since another one, with the steps that have."""
        with self._lock:
            found = [
                {
                    **work.about,
                    "steps": {key: row for key, (version, row) in work.steps.items() if version > since},
                    "lines": list(work.lines),
                }
                for work in self._all.values()
                if work.version > since
            ]
            return self._version, found

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            self._version += 1
            yield
            listeners = list(self._listeners)
        for told in listeners:
            told()


def _steps(event: Row) -> Iterator[tuple[str, Row]]:
    """Yield the steps that an object of `--progress json` is about."""
    if "vertexes" in event:
        for vertex in event["vertexes"]:
            completed = vertex.get("completed")
            error = str(vertex.get("error", ""))
            row: Row = {
                "what": str(vertex.get("name", ""))[:MOST_TEXT],
                "state": FAILED if error else DONE if completed else WORKING,
                "text": error[:MOST_TEXT],
                "cached": bool(vertex.get("cached")),
                "began": _ms(vertex.get("started", "")),
                "ended": _ms(completed or ""),
            }
            yield str(vertex.get("digest", "")), row
        return
    subject = str(event.get("id", ""))
    if subject and not ({"logs", "statuses"} & event.keys()):
        words = [str(event.get(key, "")) for key in ("text", "details")]
        percent = event.get("percent")
        text = " ".join(word for word in words if word) + (f" {percent} %" if percent else "")
        state = _STATES.get(str(event.get("status", "")), WORKING)
        yield (
            f"{event.get('parent_id', '')}/{subject}",
            {"what": subject, "state": state, "text": text[:MOST_TEXT]},
        )


def _lines(event: Row) -> Iterator[str]:
    """Yield what a step of a build has printed."""
    for log in event.get("logs", ()) if isinstance(event.get("logs"), list) else ():
        text = base64.b64decode(log.get("data", "")).decode("utf-8", "replace")
        yield from (line[:MOST_TEXT] for line in text.splitlines())


def _ms(moment: str) -> int:
    with contextlib.suppress(ValueError):
        return int(dt.datetime.fromisoformat(moment).timestamp() * 1000)
    return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def work_of(works: Works, key: str) -> Callable[[dict[str, Any]], None]:
    """Return what passes on what is told of one."""
    return lambda event: works.tell(key, event)
