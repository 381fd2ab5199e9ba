"""`watch -d` and its end, asked of the project's supervisor."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.client.supervisor import reach
from pycompose.config.options import working_directory
from pycompose.errors import NotRunning
from pycompose.ipc.client import connect
from pycompose.ipc.requests import StartWatcherRequest, StopWatcherRequest
from pycompose.state.watching import read_watch, remove_watch, watch_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.client.context import Context


@contextlib.contextmanager
def start(context: Context, project: str, words: tuple[str, ...]) -> Iterator[tuple[int, Path]]:
    """Have the project watched by the command line `words`; yield the process id, and where it writes to.

    Within the block the supervisor stays, though nothing runs yet. Raises SupervisorError.
    """
    environment = {**context.environment, **context.paths.to_environment()}
    request = StartWatcherRequest(
        args=words, directory=working_directory(context.environment), environment=environment
    )
    with reach(context, project) as connection:
        result, _ = connection.call(request, context.sink)
        yield result.pid, watch_log(context.paths, project)


def stop(context: Context, project: str) -> bool:
    """End the watcher in the background; False when there is none."""
    if read_watch(context.paths, project) is None:
        return False
    try:
        with connect(context.paths, project) as connection:
            connection.call(StopWatcherRequest(), context.sink)
    except NotRunning:
        remove_watch(context.paths, project)
    return True
