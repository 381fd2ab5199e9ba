"""Gathering all facts; the verdicts on them are doctor/verdicts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose import privileges
from pycompose.doctor import kernel, machine
from pycompose.doctor.facts import Facts
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.engine.paths import StatePaths


def examine(paths: StatePaths, environment: Mapping[str, str]) -> Facts:
    """Return the facts about this machine and this user; nothing of what was tried is left behind.

    What takes root is tried as root of the private host by who isn't root: this process goes there, and stays. Raises
    OSError when /proc can't be read.
    """
    user = machine.user()
    root = user.uid == 0
    isolation, groups = kernel.isolation(root=root), kernel.groups(root=root)
    identities, tun = machine.identities(environment), machine.tun()
    refused = "" if root else _enter()
    there = not refused
    return Facts(
        user=replace(user, refused=refused),
        program=machine.program(),
        kernel=kernel.kernel(root=root),
        isolation=isolation,
        walls=kernel.walls(),
        groups=groups,
        storage=machine.storage(paths, root=there),
        network=machine.network(tun, root=there, firewalls=root),
        identities=identities,
        limits=kernel.limits(),
    )


def _enter() -> str:
    """Go to the user's private host; return why that can't be done."""
    try:
        privileges.require_containers()
    except PycomposeError as exc:
        return exc.message
    return ""
