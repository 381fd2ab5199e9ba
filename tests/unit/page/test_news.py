"""What commands tell pages: nothing is lost while the page's server is busy, least of all the end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

from pycompose.client.context import Context
from pycompose.client.telling import Telling
from pycompose.engine.errors import PycomposeError
from pycompose.engine.paths import StatePaths
from pycompose.page.news import News
from pycompose.page.works import Works
from pycompose.watch.reports import failed, told_to_pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pycompose.page.rows import Row

STEPS = 3000
PATIENCE_S = 20.0
TELLER = """
import pathlib, sys, time
from pycompose.client.telling import Telling
from pycompose.engine.paths import StatePaths

root, run = map(pathlib.Path, sys.argv[1:])
telling = Telling(StatePaths(root=root, run=run), "shop", "up")
telling.steps([("Container shop-1", "Working", "Starting")])
time.sleep(1000)
"""


def _teller(paths: StatePaths) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", TELLER, paths.root, paths.run])


def _only(works: Works) -> Row:
    (work,) = works.news(0)[1]
    return work


async def _until(works: Works, true: Callable[[], bool]) -> None:
    changed = asyncio.Event()
    with works.listen(changed.set):
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                changed.clear()
                await changed.wait()


def test_steps_told_to_a_busy_server_are_not_lost(tmp_path: Path) -> None:
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    works = Works()

    async def run() -> None:
        async with News(Context(paths=paths, sink=lambda _event: None), works).listening():
            telling = Telling(paths, "shop", "up")
            for number in range(STEPS):  # the server has no turn before the end of this
                telling.steps([(f"Container shop-{number % 100}", "Done", f"step {number}")])
            # It is given its turn while the command tells its end.
            await asyncio.to_thread(telling.end)
            await _until(works, lambda: bool(works.news(0)[1]) and _only(works)["state"] == "done")

    asyncio.run(run())
    said = {step["text"] for step in _only(works)["steps"].values()}
    assert said == {f"step {number}" for number in range(STEPS - 100, STEPS)}


def test_who_is_gone_without_a_word_has_ended(tmp_path: Path) -> None:
    """Also when its parent doesn't reap it: a zombie is in /proc, and its sockets are closed."""
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    works = Works()

    async def run() -> None:
        async with News(Context(paths=paths, sink=lambda _event: None), works).listening():
            with _teller(paths) as teller:
                await _until(works, lambda: bool(works.news(0)[1]))
                teller.kill()
                await _until(works, lambda: _only(works)["state"] == "failed")

    asyncio.run(run())
    assert _only(works)["error"] == "its process has ended"


def test_what_went_wrong_is_said_once(tmp_path: Path) -> None:
    paths = StatePaths(root=tmp_path / "lib", run=tmp_path / "run")
    works = Works()
    report = failed("sync-failed", "web", PycomposeError("container shop-web-1: cannot write /app/a"))

    async def run() -> None:
        async with News(Context(paths=paths, sink=lambda _event: None), works).listening():
            await asyncio.to_thread(told_to_pages(paths, "shop", lambda _report: None), report)
            await _until(works, lambda: bool(works.news(0)[1]) and _only(works)["state"] == "failed")

    asyncio.run(run())
    assert (_only(works)["title"], _only(works)["error"]) == ("watch: sync failed (web)", report.text)
