"""What one open page is told, as server-sent events (HTML, "Server-sent events"): all there is, then what changes.

```
retry: 500
event: snapshot   {"projects": {NAME: {"rows": {ID: row}, "graph": {…}}}, …}   first: who comes again has all
event: change     {"project", "rows": {ID: row or null}, "graph"?}             as soon as a supervisor has told
event: pending    {NAME: {"file", "steps", "error"}}                           files that are newer than what runs
event: happened   {"events": […], "missed"}                                    in docker's words
event: stirred    {}                                                           volumes or networks may have changed
event: work       {"works": [{"id", "title", "state", "steps", "lines", …}]}   steps that have changed
event: printed    {"lines": [[ms, ID, stderr, text]], "dropped"}
event: usage      {"at": ms, "use": {ID: [cpu, memory, limit, received, sent]}}
```
Nothing here runs while no page is open. A page that reads slowly is waited for; what waits meanwhile has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from pycompose.events import ContainerEvent
from pycompose.labels import PROJECT
from pycompose.page.usage import Usage
from pycompose.page.view import ProjectsView
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from pycompose.api.hub import Happening
    from pycompose.page.rows import Row
    from pycompose.page.shared import PageShared

# Changes that come together are told together.
GATHER_S = 0.02
USAGE_S = 2.0
# A look at everything: what no supervisor was there to tell.
LOOK_S = 5.0
FILES_S = 1.0
MOST_EVENTS = 500
RETRY_MS = 500
# What changes who uses a volume or a network.
_STIRS = frozenset({"create", "destroy", "start", "die"})


def message(kind: str, value: Any) -> bytes:
    """Return one event; JSON has no line breaks of its own."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return f"event: {kind}\ndata: {text}\n\n".encode()


class PageStream:
    """One page's view of the machine, or of the one `project` (else "")."""

    def __init__(self, shared: PageShared, project: str, about: Row) -> None:
        self._shared = shared
        self._project = project
        self._about = about
        self._view = ProjectsView(shared.context, project)
        self._changed: set[tuple[str, str]] = set()
        self._look = False
        self._stirred = False
        self._happened: deque[Row] = deque()
        self._missed = 0
        self._use: Row | None = None
        self._pending: dict[str, Row] = {}
        self._pending_told: dict[str, Row] = {}
        self._works = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._output = shared.output.listen(self._stir)
        self._usage = Usage(shared.context)

    async def flow(self) -> AsyncGenerator[bytes, None]:
        """Yield events until the page is closed."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._output.close)
            stack.push_async_callback(asyncio.to_thread, self._usage.close)
            stack.enter_context(self._shared.works.listen(self._stir))
            await stack.enter_async_context(self._shared.news.listening())
            queue = await stack.enter_async_context(self._shared.events.listen())
            yield f"retry: {RETRY_MS}\n\n".encode()
            projects = await asyncio.to_thread(self._view.snapshot)
            yield message("snapshot", {"projects": projects, **self._about})
            self._output.follow(self._view.ids())
            self._wake.set()
            for work in (self._listen(queue), self._measure(), self._look_again(), self._compare()):
                stack.push_async_callback(_cancel, asyncio.ensure_future(work))
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER_S)
                self._wake.clear()
                async for piece in self._news():
                    yield piece

    async def _news(self) -> AsyncGenerator[bytes, None]:
        changed, self._changed = self._changed, set()
        look, self._look = self._look, False
        if changed or look:
            for told in await asyncio.to_thread(self._view.changes, changed, look=look):
                yield message("change", told)
            self._output.follow(self._view.ids())
        for piece in self._others():
            yield piece

    def _others(self) -> Iterator[bytes]:
        if self._pending != self._pending_told:
            self._pending_told = self._pending
            yield message("pending", self._pending)
        if self._happened:
            events, missed = list(self._happened), self._missed
            self._happened.clear()
            self._missed = 0
            yield message("happened", {"events": events, "missed": missed})
        if self._stirred:
            self._stirred = False
            yield message("stirred", {})
        self._works, works = self._shared.works.news(self._works)
        works = [work for work in works if self._project in ("", work["project"])]
        if works:
            yield message("work", {"works": works})
        lines, dropped = self._output.take()
        if lines or dropped:
            yield message("printed", {"lines": lines, "dropped": dropped})
        if self._use is not None:
            use, self._use = self._use, None
            yield message("usage", use)

    # ------------------------------------------------------------------ what wakes it

    def _stir(self) -> None:
        """Wake it from any thread; a server that is ending has no loop any more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _listen(self, queue: asyncio.Queue[Happening]) -> None:
        while True:
            event = await queue.get()
            if not isinstance(event, ContainerEvent):
                self._stirred = True
                self._wake.set()
                continue
            project = self._view.project_of(event.id, event.attributes.get(PROJECT, STANDALONE))
            if self._project in ("", project):
                self._changed.add((project, event.id))
                self._stirred = self._stirred or event.action in _STIRS
                if not event.action.startswith("exec_"):
                    self._tell(project, event)
                self._wake.set()

    def _tell(self, project: str, event: ContainerEvent) -> None:
        if len(self._happened) >= MOST_EVENTS:
            self._happened.popleft()
            self._missed += 1
        code = event.attributes.get("exitCode", "") if event.action == "die" else ""
        self._happened.append(
            {
                "at": event.time_ns // 1_000_000,
                "project": project,
                "service": event.service,
                "name": event.name,
                "action": event.action,
                "code": code,
            }
        )

    async def _measure(self) -> None:
        while True:
            found = await asyncio.to_thread(self._usage.sample, list(self._view.known))
            if found:
                self._use = {"at": time.time_ns() // 1_000_000, "use": found}
                self._wake.set()
            await asyncio.sleep(USAGE_S)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._look = True
            self._shared.works.bury()
            self._wake.set()

    async def _compare(self) -> None:
        """Look whether compose files have changed."""
        while True:
            known = {
                name: list(rows.values())
                for name, rows in list(self._view.known.items())
                if name != STANDALONE
            }
            self._pending = await asyncio.to_thread(self._shared.pending.look, known)
            if self._pending != self._pending_told:
                self._wake.set()
            await asyncio.sleep(FILES_S)


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
