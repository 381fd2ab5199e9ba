"""What happens to a project's containers: in its journal, in memory for a while, and to everybody who subscribes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pycompose.ipc.messages import ContainerMessage
from pycompose.supervisor.logfile import EventJournal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pycompose.events import ContainerEvent
    from pycompose.ipc.server import Peer

JOURNAL_BYTES = 1024 * 1024
RECENT_EVENTS = 2000


class ContainerEvents:
    """The events of one project."""

    def __init__(self, journal: Path) -> None:
        """`journal` is the file that `events --since` reads."""
        self._journal = EventJournal(journal, JOURNAL_BYTES)
        self._recent: deque[ContainerEvent] = deque(maxlen=RECENT_EVENTS)
        self.subscribers: set[Peer] = set()
        self.background: set[Peer] = set()

    def leave(self, peer: Peer) -> None:
        """Tell somebody nothing any more."""
        self.subscribers.discard(peer)
        self.background.discard(peer)

    def publish(self, event: ContainerEvent, *, kept: bool) -> None:
        """Send an event to all subscribers; one that is `kept` is written down first."""
        if kept:
            self._recent.append(event)
            self._journal.append(event.to_json())
        for peer in list(self.subscribers):
            peer.send(ContainerMessage(container=event))

    def since(self, time_ns: int) -> Iterator[ContainerEvent]:
        """Yield the latest events from `time_ns` on (CLOCK_REALTIME), at most RECENT_EVENTS."""
        return (event for event in self._recent if event.time_ns >= time_ns)
