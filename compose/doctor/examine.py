"""Gathering all facts; the verdicts on them are doctor/verdicts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.doctor import kernel, machine
from pycompose.doctor.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.engine.paths import StatePaths


def examine(paths: StatePaths, environment: Mapping[str, str]) -> Facts:
    """Return the facts about this machine and this user; nothing of what was tried is left behind.

    Raises OSError when /proc can't be read.
    """
    user = machine.user()
    root = user.uid == 0
    return Facts(
        user=user,
        program=machine.program(),
        kernel=kernel.kernel(root=root),
        isolation=kernel.isolation(root=root),
        walls=kernel.walls(),
        groups=kernel.groups(root=root),
        storage=machine.storage(paths, root=root),
        network=machine.network(root=root),
        identities=machine.identities(environment),
        limits=kernel.limits(),
    )
