"""Whose a project is: the lock that its supervisor holds, and what is left when nobody holds it any more."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import socket
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.errors import SupervisorError
from pycompose.ipc.protocol import short_path
from pycompose.networking.api import Networking
from pycompose.state.snapshot import claims

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

log = logging.getLogger("pycompose.supervisor")

LOCK_WAIT_S = 15.0


def lock(paths: StatePaths, project: str) -> int | None:
    """Return the locked descriptor of the project's lock, None when a living supervisor answers in its place.

    Raises SupervisorError when neither happens for a while, OSError.
    """
    directory = paths.project_run(project)
    deadline = time.monotonic() + LOCK_WAIT_S
    while time.monotonic() < deadline:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _lock_now(directory)
        except FileNotFoundError:
            continue
        except BlockingIOError:
            pass
        if _answers(paths.control_socket(project)):
            return None
        time.sleep(0.01)  # the holder is on its way out; there is nothing to wait on but its lock
    raise SupervisorError(
        f"project {project}: cannot lock {directory}: held by a supervisor that doesn't answer",
        hint=f"see {paths.project(project) / 'supervisor.log'}",
    )


def _lock_now(directory: Path) -> int:
    """Return the lock; raises BlockingIOError while another process has it, FileNotFoundError without a directory.

    The directory goes with the project, so a lock counts only while its file is still the one that is there.
    """
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), os.stat(directory / "lock")):
            raise FileNotFoundError(directory)
    except OSError:
        os.close(fd)
        raise
    return fd


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, contextlib.suppress(OSError):
        with short_path(path) as name:
            probe.connect(name)
        return True
    return False


def is_held(paths: StatePaths, project: str) -> bool:
    """Tell whether a supervisor looks after the project."""
    try:
        os.close(_lock_now(paths.project_run(project)))
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def forget(paths: StatePaths, project: str, *, keep_log: bool) -> None:
    """Remove what is left of the project's own state, under its lock; containers that exist keep it."""
    run = paths.project_run(project)
    if claims(paths, project):
        (run / "supervisor.json").unlink(missing_ok=True)
        return
    if not keep_log:
        shutil.rmtree(paths.project(project), ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)


def clear_abandoned(paths: StatePaths) -> list[str]:
    """Remove what killed supervisors and keepers have left of projects without containers; return their networks.

    Whoever ends by himself removes the project's directory at run time if there is no container, or keeps it for those
    that there are. Raises nothing: what could not be removed is tried again by the next one.
    """
    removed: list[str] = []
    try:
        projects = sorted(os.listdir(paths.projects_run))
    except FileNotFoundError:
        return removed
    for project in projects:
        if not claims(paths, project):
            try:
                removed += _clear(paths, project)
            except* (PycomposeError, OSError) as failures:
                log.warning("project %s: cannot clear up: %s", project, failures.exceptions)
    return removed


def _clear(paths: StatePaths, project: str) -> list[str]:
    """Remove what is left of the project, if nobody is there; return its networks, none while somebody is on one."""
    try:
        fd = _lock_now(paths.project_run(project))
    except (BlockingIOError, FileNotFoundError):
        return []
    try:
        from pycompose.machine.volumes import network_users  # noqa: PLC0415 - next to never

        # A keeper that lives starts a supervisor, or has just been started.
        if claims(paths, project) or _answers(paths.keeper_socket(project)):
            return []
        networking = Networking(paths)
        try:
            names = [state.name for state in networking.list_networks(project)]
            if network_users(paths).keys() & set(names):
                names = []
            else:
                networking.cleanup(project)
        finally:
            networking.close()
        forget(paths, project, keep_log=False)
        return names
    finally:
        os.close(fd)
