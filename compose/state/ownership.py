"""Whose a project is: the lock that its supervisor holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import StateError
from pycompose.engine.statedirs import make_directory
from pycompose.errors import SupervisorError
from pycompose.ipc.protocol import short_path
from pycompose.state.snapshot import claims

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

LOCK_WAIT_S = 15.0


def lock(paths: StatePaths, project: str) -> int | None:
    """Return the locked descriptor of the project's lock, None when a living supervisor answers in its place.

    Raises SupervisorError when neither happens for a while, OSError.
    """
    directory = paths.project_run(project)
    deadline = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < deadline:
        make_directory(directory)
        try:
            return lock_now(directory, create=True)
        except FileNotFoundError:
            continue
        except BlockingIOError:
            pass
        if answers(paths.control_socket(project)):
            return None
        time.sleep(0.01)  # the holder is on its way out; there is nothing to wait on but its lock
    raise SupervisorError(
        f"project {project}: cannot lock {directory}: held by a supervisor that doesn't answer",
        hint=f"see {paths.project(project) / 'supervisor.log'}",
    )


def lock_now(directory: Path, *, create: bool = False) -> int:
    """Return the lock; raises BlockingIOError while another process has it, FileNotFoundError when there is none.

    The directory goes with the project, so a lock counts only while its file is still the one that is there. Only who
    means to stay may `create` it: made by somebody who looks, it keeps a directory that is being removed.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    fd = os.open(directory / "lock", flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), os.stat(directory / "lock")):
            raise FileNotFoundError(directory)
    except OSError:
        os.close(fd)
        raise
    return fd


def answers(path: Path) -> bool:
    """Tell whether somebody listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, contextlib.suppress(OSError):
        with short_path(path) as name:
            probe.connect(name)
        return True
    return False


def is_held(paths: StatePaths, project: str) -> bool:
    """Tell whether a supervisor looks after the project."""
    try:
        os.close(lock_now(paths.project_run(project)))
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def forget(paths: StatePaths, project: str, *, keep_log: bool) -> None:
    """Remove what is left of the project's own state, under its lock; containers that exist keep it."""
    import shutil  # noqa: PLC0415 - 2 ms of each start of a supervisor, which needs it at its end

    run = paths.project_run(project)
    if claims(paths, project):
        (run / "supervisor.json").unlink(missing_ok=True)
        return
    if (paths.project(project) / "hosts.json").exists():
        from pycompose.state import hosts_file  # noqa: PLC0415 - few projects are known by name outside

        with contextlib.suppress(StateError):  # names that lead nowhere are no reason to stay
            hosts_file.disable(paths, project)
    if not keep_log:
        shutil.rmtree(paths.project(project), ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
