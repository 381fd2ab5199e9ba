"""What a build has besides its layers goes when it ends or dies: keeper, slots, project."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pycompose.engine.client import KeeperClient
from pycompose.engine.container.uppers import remove_uppers
from pycompose.engine.errors import EngineError, PycomposeError, StateError
from pycompose.engine.linux.process import close_all_but
from pycompose.engine.linux.trees import remove_tree
from pycompose.engine.paths import BUILDS
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

_LOCK = "lock"
# Our processes that take something away.
_detached: list[int] = []


def claim(paths: StatePaths, project: str) -> int:
    """Lock the project's directory and return the lock; while it is held, nobody takes the build for dead."""
    fd = os.open(
        make_directory(paths.project_run(project)) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def dead(paths: StatePaths, living: str = "") -> list[str]:
    """Return the builds that have died so early, or with so much else, that nobody has cleared them away."""
    found = []
    for name in sorted({*_names(paths.projects_run), *_names(paths.projects)}):
        if not name.startswith(BUILDS) or name == living:
            continue
        try:
            fd = os.open(paths.project_run(name) / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # The machine has been started since then; or it is just beginning, or ending.
            if not paths.project_run(name).exists():
                found.append(name)
            continue
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append(name)
        os.close(fd)
    return found


def clear_dead(paths: StatePaths, living: str, clear: Sequence[str]) -> None:
    """Start `clear` for each dead build."""
    for name in dead(paths, living):
        argv = [*clear, name]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        streams = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
        environment = {**os.environ, **paths.to_environment()}
        _detached.append(os.posix_spawn(argv[0], argv, environment, file_actions=streams, setsid=True))
        os.close(null)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def detach(work: Callable[[], None], keep: Sequence[int] = ()) -> bool:
    """Have a process of its own do `work`: the kernel takes 0.1 s to delete a bridge, which nobody has to wait for.

    It has no open descriptors but those to `keep`, and outlives us. Returns False where nothing was done: below a
    process 1 that doesn't care for its children it would stay for good when it has ended, or there is no process left.
    """
    _detached[:] = [pid for pid in _detached if not _ended(pid)]
    try:
        child = -1 if _left_alone() else os.fork()
    except OSError:
        child = -1
    if child < 0:
        return False
    if child:
        _detached.append(child)
        return True
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        close_all_but(keep)
        work()
    finally:
        os._exit(0)


def _ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True  # it was another process's: we are a fork of that


def _left_alone() -> bool:
    """Tell whether process 1 has children that have ended and that it hasn't asked for (proc_pid_stat(5))."""
    try:
        with open("/proc/1/task/1/children", encoding="ascii") as file:
            children = file.read().split()
        for pid in children:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
                if file.read().rpartition(b") ")[2][:1] == b"Z":
                    return True
    except OSError:
        return False
    return False


def end(keeper: KeeperClient, container_ids: Sequence[str]) -> None:
    """Kill what runs, and end the keeper. Raises KeeperLost when it is dead already."""
    try:
        for container_id in container_ids:
            with contextlib.suppress(StateError):
                keeper.discard(container_id)
        keeper.shutdown(force=True)
    finally:
        keeper.close()


def end_keeper(paths: StatePaths, project: str) -> None:
    """Kill what runs of a build, and end its keeper; where that has died, by another one, which adopts what is left."""
    found = slots(paths, project)
    try:
        keeper = KeeperClient.connect(paths, project, on_event=lambda _event: None)
        with contextlib.suppress(EngineError):
            keeper.guard((), {})
    except EngineError:
        if not found:
            return
        try:
            log = paths.project(project) / "keeper.log"
            keeper = KeeperClient.start(paths, project, on_event=lambda _event: None, log=log)
        except EngineError:
            return  # somebody else has just started one
    with contextlib.suppress(EngineError):
        end(keeper, found)


def slots(paths: StatePaths, project: str) -> list[str]:
    """Return the ids that a build has claimed."""
    try:
        return sorted(os.listdir(paths.project_claims(project)))
    except FileNotFoundError:
        return []


def remove_slot(paths: StatePaths, container_id: str) -> None:
    """Remove the files of a slot, and of half of one."""
    for directory in (paths.container(container_id), paths.container_run(container_id)):
        with contextlib.suppress(OSError, PycomposeError):
            remove_tree(directory)
    with contextlib.suppress(OSError):
        remove_uppers(paths, container_id)


def remove_project(paths: StatePaths, project: str) -> None:
    """Remove what the build had as a project."""
    for directory in (paths.project(project), paths.project_run(project)):
        with contextlib.suppress(OSError, PycomposeError):
            remove_tree(directory)
