"""What one open page is told by its WebSocket: all there is, then what changes. Each message is `[kind, value]`.

```
snapshot   {"projects": {NAME: {"rows": {ID: row}, "graph": {…}}}, …}   first: who comes again has all
change     {"project", "rows": {ID: row or null}, "graph"?}             as soon as a supervisor has told
known      {NAME: {"services": {NAME: image}, "profiles", "active", "graph"}}   what compose files say
pending    {NAME: {"files", "steps", "builds", "error"}}                files that are newer than what runs
happened   {"events": […], "missed"}                                    in docker's words
storage    {"volumes", "networks", "error"}                             while the page shows them
work       {"works": [{"id", "title", "state", "steps", "lines", …}]}   steps that have changed
printed    {"lines": [[µs, ID, stderr, text]], "dropped", "unfinished"}   the last: lines so far; the next of their
                                                                         container and stream takes their place
past       {"turn", "lines", "more"}                                    what the page has asked for of the logs
usage      {"at": ms, "use": {ID: [cpu, memory, limit, received, sent]}}
```
The page says `{"storage": bool}` for whether it shows volumes and networks (again: measure them again), and
`{"took": N}` for so many lines that it has taken. It asks `{"past": {"turn", "project", "until": µs}}` or, with `since`
in the place of `until`, for what comes later than that.

A WebSocket, since browsers have six connections for one place, and open pages may be more (RFC 6455 knows no limit).
Nothing here runs while no page is open. A page that reads slowly is waited for; what waits meanwhile has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from pycompose.api.websocket import TEXT, WebSocketWire
from pycompose.events import ContainerEvent
from pycompose.labels import PROJECT
from pycompose.page.history import PastLines, earlier, later, sources
from pycompose.page.messages import message, objects
from pycompose.page.storage import StorageView
from pycompose.page.usage import Usage
from pycompose.page.view import ProjectsView
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from pycompose.api.http import Wire
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
# Lines of output that the page may not have taken yet: its browser keeps them in our place. It shows no more.
MOST_AHEAD = 20_000
MOST_ASKED = 4
# What fits into a time of files, in nanoseconds: the year 2262.
MOST_US = 1 << 53
# What changes who uses a volume or a network.
_STIRS = frozenset({"create", "destroy", "start", "die"})


class PageStream:
    """One page's view of the machine, or of the one `project` (else "")."""

    def __init__(self, shared: PageShared, project: str, about: Row) -> None:
        self._shared = shared
        self._project = project
        self._about = about
        self._view = ProjectsView(shared.context, project)
        self._changed: set[tuple[str, str]] = set()
        self._look = False
        self._ahead = 0
        self._asked: asyncio.Queue[Row] = asyncio.Queue()
        self._past: deque[Row] = deque()
        self._happened: deque[Row] = deque()
        self._missed = 0
        self._use: Row | None = None
        self._files: dict[str, dict[str, Row]] = {"known": {}, "pending": {}}
        self._files_told = self._files
        self._works = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._output = shared.output.listen(self._stir)
        self._usage = Usage(shared.context)
        self._storage = StorageView(shared.context, project, self._stir)

    async def talk(self, wire: Wire) -> None:
        """Tell the page what there is until it is closed. Raises OSError."""
        inner = WebSocketWire(wire, TEXT)
        both = [asyncio.ensure_future(work) for work in (self._tell_all(inner), self._hear(inner))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                await _cancel(task)
        for task in both:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _tell_all(self, wire: WebSocketWire) -> None:
        async with contextlib.aclosing(self._flow()) as pieces:
            async for piece in pieces:
                await wire.write(piece)

    async def _hear(self, wire: WebSocketWire) -> None:
        async with contextlib.aclosing(objects(wire)) as said:
            async for one in said:
                if isinstance(one.get("storage"), bool):
                    self._storage.show(shown=one["storage"])
                if isinstance(one.get("took"), int):
                    self._ahead = max(self._ahead - one["took"], 0)
                    self._wake.set()
                if isinstance(one.get("past"), dict) and self._asked.qsize() < MOST_ASKED:
                    self._asked.put_nowait(one["past"])

    async def _flow(self) -> AsyncGenerator[bytes, None]:
        """Yield messages without end."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._output.close)
            stack.push_async_callback(asyncio.to_thread, self._usage.close)
            stack.enter_context(self._shared.works.listen(self._stir))
            await stack.enter_async_context(self._shared.news.listening())
            queue = await stack.enter_async_context(self._shared.events.listen())
            projects = await asyncio.to_thread(self._view.snapshot)
            yield message("snapshot", {"projects": projects, **self._about})
            self._output.follow(self._view.ids())
            self._wake.set()
            for work in (
                self._listen(queue),
                self._measure(),
                self._look_again(),
                self._compare(),
                self._storage.run(),
                self._look_back(),
            ):
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
        told, self._files_told = self._files_told, self._files
        for kind, found in self._files.items():
            if found != told[kind]:
                yield message(kind, found)
        if self._happened:
            events, missed = list(self._happened), self._missed
            self._happened.clear()
            self._missed = 0
            yield message("happened", {"events": events, "missed": missed})
        if (storage := self._storage.news()) is not None:
            yield message("storage", storage)
        self._works, works = self._shared.works.news(self._works)
        works = [work for work in works if self._project in ("", work["project"])]
        if works:
            yield message("work", {"works": works})
        if self._ahead < MOST_AHEAD and any(printed := self._output.take()):
            self._ahead += len(printed.lines)
            yield message("printed", printed._asdict())
        while self._past:
            yield message("past", self._past.popleft())
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
                self._storage.stir()
                continue
            project = self._view.project_of(event.id, event.attributes.get(PROJECT, STANDALONE))
            if self._project in ("", project):
                self._changed.add((project, event.id))
                if event.action in _STIRS:
                    self._storage.stir()
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

    async def _look_back(self) -> None:
        """Read from the logs what the page asks for, one after the other."""
        while True:
            asked = await self._asked.get()
            found = await asyncio.to_thread(self._read_past, asked)
            self._past.append({"turn": asked.get("turn"), "lines": found.lines, "more": found.more})
            self._wake.set()

    def _read_past(self, asked: Row) -> PastLines:
        project = asked.get("project")
        if not isinstance(project, str) or project not in self._view.known:
            return PastLines([], more=False)
        places = sources(self._shared.context, project)
        for key, read in (("until", earlier), ("since", later)):
            if type(at_us := asked.get(key)) is int and 0 <= at_us < MOST_US:
                return read(places, at_us)
        return PastLines([], more=False)

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
            said, pending = await asyncio.to_thread(self._shared.files.look, known, self._project)
            self._files = {"known": said, "pending": pending}
            if self._files != self._files_told:
                self._wake.set()
            await asyncio.sleep(FILES_S)


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
