"""Copies of the terminals and stdin pipes of running containers: they outlive the keeper, which has the originals."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.engine.api import AttachedStreams
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.runtime.containers import Runtime


class StdioCopies:
    """Those of one project's containers. When keeper and supervisor die together, the terminals are lost."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: dict[str, AttachedStreams] = {}

    @staticmethod
    def needs_copies(tracked: TrackedContainer) -> bool:
        """Whether a container has something that would end with the keeper.

        The input of a one-off container belongs to the client, and ends with it.
        """
        process = tracked.config.process
        return process.tty or (process.stdin_open and not tracked.record.oneoff)

    async def copy(self, tracked: TrackedContainer) -> None:
        """Get copies of a container's terminal and stdin; nothing if it has ended meanwhile."""
        with contextlib.suppress(PycomposeError):
            attached = await blocking(self._runtime.keeper.attach, tracked.config.id)
            self.drop(tracked.config.id)
            if tracked.active:
                self._kept[tracked.config.id] = attached
            else:
                _close(attached)

    async def restore(self) -> None:
        """Give the terminals to a new keeper; it finds the stdin pipes by itself, as long as they stay open."""
        for container_id, attached in list(self._kept.items()):
            if attached.terminal is not None:
                with contextlib.suppress(PycomposeError):
                    await blocking(self._runtime.keeper.give_terminal, container_id, attached.terminal)

    def drop(self, container_id: str) -> None:
        """Close the copies of a container that has ended."""
        attached = self._kept.pop(container_id, None)
        if attached is not None:
            _close(attached)


def _close(attached: AttachedStreams) -> None:
    for fd in (attached.stdin, attached.terminal):
        if fd is not None:
            os.close(fd)
