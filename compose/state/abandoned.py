"""What killed supervisors and keepers have left of projects that have no container any more."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.engine.paths import BUILDS
from pycompose.networking.api import Networking
from pycompose.networking.model import DEFAULT_BRIDGE
from pycompose.state.ownership import answers, forget, lock_now
from pycompose.state.snapshot import claims
from pycompose.state.users import network_users

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths

log = logging.getLogger("pycompose.supervisor")


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
        if not project.startswith(BUILDS) and not claims(paths, project):
            try:
                removed += _clear(paths, project)
            except* (PycomposeError, OSError) as failures:
                log.warning("project %s: cannot clear up: %s", project, failures.exceptions)
    return removed


def _clear(paths: StatePaths, project: str) -> list[str]:
    """Remove what is left of the project, if nobody is there; return its networks, none while somebody is on one."""
    try:
        fd = lock_now(paths.project_run(project))
    except BlockingIOError:
        return []
    except FileNotFoundError:  # killed between making the directory and the lock, or on its way
        with contextlib.suppress(OSError):
            os.rmdir(paths.project_run(project))
        return []
    try:
        # A keeper that lives starts a supervisor, or has just been started.
        if claims(paths, project) or answers(paths.keeper_socket(project)):
            return []
        networking = Networking(paths)
        try:
            names = [state.name for state in networking.list_networks(project)]
            if network_users(paths).keys() & set(names):
                names = []
            else:
                networking.cleanup(project)
            # Nobody's, and so left by the last project that had a container there.
            if DEFAULT_BRIDGE not in network_users(paths) and networking.remove_unused(DEFAULT_BRIDGE):
                names.append(DEFAULT_BRIDGE)
            networking.close_firewalls(paths.project_run(project) / "firewall.json")
        finally:
            networking.close()
        forget(paths, project, keep_log=False)
        return names
    finally:
        os.close(fd)
