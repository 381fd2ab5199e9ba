"""Taking over the containers of a keeper that died: state files are claims, the kernel tells what is true."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterator

from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.config import ContainerConfig, from_json, plain
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError
from pycompose.engine.keeper.loop import Loop
from pycompose.engine.keeper.processes import Container
from pycompose.engine.keeper.spawn import Child, open_reader
from pycompose.engine.keeper.stdio import Output
from pycompose.engine.logs.driver import open_log
from pycompose.engine.paths import StatePaths
from pycompose.engine.state import ContainerState, Status, exists
from pycompose.engine.statefiles import read_json, write_json


def adopt_all(
    paths: StatePaths, project: str, loop: Loop, on_exit: Callable[[Container], None]
) -> Iterator[Container]:
    """Yield the containers of `project` that run without a keeper; write down the end of those that don't.

    A claim that cannot be read is left alone: whoever removes the container reports it.
    """
    try:
        claims = sorted(os.listdir(paths.project_claims(project)))
    except FileNotFoundError:
        return
    for container_id in claims:
        with contextlib.suppress(PycomposeError, OSError):
            container = _adopt(paths, container_id, loop, on_exit)
            if container is not None:
                yield container


def _adopt(
    paths: StatePaths, container_id: str, loop: Loop, on_exit: Callable[[Container], None]
) -> Container | None:
    directory = paths.container_run(container_id)
    state = from_json(ContainerState, read_json(directory / "state.json"))
    if not state.pid or state.status is Status.EXITED:
        return None
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        pidfd = -1
    # Looked at after the open: what is there now is what the descriptor means. A zombie that was running is
    # adopted too, so that its code is learnt when it is reaped; one that never ran has nothing to tell.
    if pidfd < 0 or not exists(state) or (state.status is Status.CREATED and _has_ended(pidfd)):
        if pidfd >= 0:
            os.close(pidfd)
        if state.status is not Status.CREATED and not (directory / "exit.json").exists():
            _write_unknown_end(paths, state)
        return None
    config = from_json(ContainerConfig, read_json(paths.container(container_id) / "config.json"))
    group = open_existing(paths, container_id, parent=config.cgroup_parent)
    output = Output(loop, open_log(paths, config, loop, required=False))
    container = Container(
        loop,
        config,
        group,
        output,
        directory,
        child=Child(pid=state.pid, pidfd=pidfd, sync=None),
        on_exit=on_exit,
    )
    for stream in ("stdout", "stderr"):
        if (directory / stream).exists():
            output.add(open_reader(directory / stream), stream)
    if (directory / "stdin").exists():
        with contextlib.suppress(OSError):  # ENXIO: the container has closed its input
            container.stdin = os.open(directory / "stdin", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.set_blocking(container.stdin, True)
    container.adopt(state)
    return container


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _write_unknown_end(paths: StatePaths, state: ContainerState) -> None:
    ended = replace(
        state, status=Status.EXITED, finished_ns=time.time_ns(), exit_code=255, exit_code_known=False
    )
    write_json(paths.container_run(state.id) / "exit.json", plain(ended), durable=False)
