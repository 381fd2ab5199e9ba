"""`python -m pycompose.build.cleanup PROJECT`: what a build that was killed has left behind goes.

Its keeper starts this when the connection of the build ends without a word.
"""

from __future__ import annotations

import contextlib
import os
import sys

from pycompose.engine.builder.clearing import claim, dead, end_keeper, remove_project, remove_slot, slots
from pycompose.engine.builder.scratch import remove_dead
from pycompose.engine.errors import PycomposeError
from pycompose.engine.paths import BUILDS, StatePaths
from pycompose.networking.api import Networking


def clear(paths: StatePaths, project: str) -> None:
    """Take all of one build away, with its networks; can be repeated."""
    lock = claim(paths, project)
    try:
        end_keeper(paths, project)
        found = slots(paths, project)
        networking = Networking(paths)
        with contextlib.suppress(PycomposeError, OSError, ExceptionGroup):
            networking.cleanup(project, found)
        with contextlib.suppress(PycomposeError, OSError):
            networking.remove_firewall(project)
        networking.close()
        for container_id in found:
            remove_slot(paths, container_id)
        remove_project(paths, project)
        with contextlib.suppress(OSError):
            remove_dead(paths)
    finally:
        os.close(lock)


def clear_dead(paths: StatePaths) -> None:
    """Take away what builds have left that nobody cleared away: their keepers died, too, or the machine."""
    for project in dead(paths):
        clear(paths, project)


def main() -> int:
    """Clear one build away."""
    project = sys.argv[1]
    if not project.startswith(BUILDS):
        return 2
    clear(StatePaths.from_environment(), project)
    return 0


if __name__ == "__main__":
    sys.exit(main())
