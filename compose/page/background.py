"""`up --page`: the page of one project, by a server in the background for as long as there is the project.

It is known by `run/pages/NAME.json`, which has its port. Its standard input is a pipe to who has started it: until that
ends, the project need not be there. From then on the server ends when the project has no containers any more, and no
page is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError, StateError
from pycompose.engine.logs.inotify import watch_directory
from pycompose.engine.statedirs import make_directory
from pycompose.engine.statefiles import locked, read_json, write_json
from pycompose.page.tokens import living_token, pages
from pycompose.state.snapshot import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pycompose.client.context import Context
    from pycompose.engine.paths import StatePaths

ADDRESS = "127.0.0.1"
# A container that is replaced may be the only one.
GRACE_S = 1.0


def address_of(port: int, token: str) -> str:
    """Return what is opened in a browser; `port` 0 is a unix socket, which the browser needs somebody to lead to."""
    return f"http://{f'{ADDRESS}:{port}' if port else 'localhost'}/?token={token}"


def _note(paths: StatePaths, project: str) -> Path:
    return pages(paths) / f"{project}.json"


def background_page(context: Context, project: str) -> str:
    """Return the address of the project's page, after starting its server if there is none. Raises PycomposeError."""
    with locked(make_directory(pages(context.paths))):
        port = _noted_port(context.paths, project)
        if token := living_token(context.paths, port):
            return address_of(port, token)
        # Pages of one that was killed are still open, perhaps.
        address = (port and _start(context, project, port)) or _start(context, project, 0)
    if not address:
        raise PycomposeError(
            f"project {project}: cannot start its page",
            hint=f"see what is wrong: pycompose page --project {project}",
        )
    return address


def _noted_port(paths: StatePaths, project: str) -> int:
    try:
        return int(read_json(_note(paths, project)).get("port", 0))
    except (FileNotFoundError, StateError):
        return 0


def _start(context: Context, project: str, port: int) -> str:
    """Start a server, and return its address, "" when it has ended at once. Raises OSError."""
    command = [sys.executable, "-I", "-X", "utf8", "-m", "pycompose", "page", "--background"]
    command += ["--project", project, "--port", str(port)]
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    process = subprocess.Popen(
        command,
        cwd="/",
        env={**context.environment, **context.paths.to_environment()},
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(ours)
    # `theirs` stays open until we end.
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    address = process.stdout.readline().decode().strip()
    process.stdout.close()
    if not address:
        os.close(theirs)
        process.wait()
    process.returncode = 0  # it outlives us; nobody waits for it
    return address


@contextlib.contextmanager
def noted(paths: StatePaths, project: str, port: int) -> Iterator[None]:
    """Say where the project's page is, for the block."""
    path = _note(paths, project)
    write_json(path, {"port": port}, durable=False)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


async def until_gone(
    paths: StatePaths, project: str, is_open: Callable[[], bool], closed: asyncio.Event
) -> None:
    """Return when who has started us has ended, the project has no containers, and no page `is_open`.

    `closed` is set whenever one may have been closed.
    """

    def is_over() -> bool:
        return not claims(paths, project) and not is_open()

    await _end_of_input()
    while True:
        closed.clear()
        with _watched(paths.project_claims(project), closed):
            if not is_over():
                await closed.wait()
        await asyncio.sleep(GRACE_S)
        if is_over():
            return


async def _end_of_input() -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, over.set)
    await over.wait()
    loop.remove_reader(0)


@contextlib.contextmanager
def _watched(directory: Path, changed: asyncio.Event) -> Iterator[None]:
    """Have `changed` set when something in a directory goes, or it does; one that isn't there has nothing to go."""
    try:
        watch = watch_directory(directory)
    except FileNotFoundError:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(watch.fileno(), changed.set)
    try:
        yield
    finally:
        loop.remove_reader(watch.fileno())
        watch.close()
