"""Who follows the output of which container: its end is told to listeners once these have got theirs.

In moby it is so because a container's log and streams are closed before its state changes (handleContainerExit), and
Docker Compose counts on it: an output that hasn't ended when the last container has is an error of its `up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long listeners wait for a client that doesn't read.
PATIENCE_S = 1.0


class Followers:
    """Lives in the event loop."""

    def __init__(self) -> None:
        self._all: dict[str, list[tuple[int, asyncio.Event]]] = {}

    @contextlib.contextmanager
    def following(self, container_id: str) -> Iterator[None]:
        """Take note that a client gets the output of a container in the block."""
        entry = (time.time_ns(), asyncio.Event())
        self._all.setdefault(container_id, []).append(entry)
        try:
            yield
        finally:
            entry[1].set()
            found = self._all[container_id]
            found.remove(entry)
            if not found:
                del self._all[container_id]

    async def end(self, container_id: str, moment_ns: int) -> None:
        """Wait, though not for long, until everybody has got the end of a run that was over at `moment_ns`."""
        waiting = [over.wait() for began_ns, over in self._all.get(container_id, ()) if began_ns < moment_ns]
        if waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)
