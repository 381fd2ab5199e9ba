"""`python -m pycompose.build.cleanup PROJECT`: what a build that was killed has left behind goes.

Its keeper starts this when the connection of the build ends without a word.
"""

from __future__ import annotations

import contextlib
import os
import sys

from pycompose.engine.builder.running import remove_project, remove_slot
from pycompose.engine.client import KeeperClient
from pycompose.engine.errors import EngineError, PycomposeError
from pycompose.engine.paths import StatePaths
from pycompose.networking.api import Networking

PREFIX = "_build-"


def clear(paths: StatePaths, project: str) -> None:
    """Kill what runs of a build, remove its slots and its keeper; can be repeated. Networks are the caller's."""
    with contextlib.suppress(EngineError):
        keeper = KeeperClient.connect(paths, project, on_event=lambda _event: None)
        with contextlib.suppress(EngineError):
            keeper.guard((), {})
        for container_id in slots(paths, project):
            with contextlib.suppress(EngineError):
                keeper.discard(container_id)
        with contextlib.suppress(EngineError):
            keeper.shutdown(force=True)
        keeper.close()


def slots(paths: StatePaths, project: str) -> list[str]:
    """Return the ids that the build has claimed."""
    try:
        return sorted(os.listdir(paths.project_claims(project)))
    except FileNotFoundError:
        return []


def main() -> int:
    """Clear one build away, with its networks."""
    project = sys.argv[1]
    if not project.startswith(PREFIX):
        return 2
    paths = StatePaths.from_environment()
    clear(paths, project)
    found = slots(paths, project)

    networking = Networking(paths)
    with contextlib.suppress(PycomposeError, OSError, ExceptionGroup):
        networking.cleanup(project, found)
    with contextlib.suppress(PycomposeError, OSError):
        networking.remove_firewall(project)
    for container_id in found:
        remove_slot(paths, container_id)
    remove_project(paths, project)
    return 0


if __name__ == "__main__":
    sys.exit(main())
