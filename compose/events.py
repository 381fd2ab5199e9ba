"""What happens, as data: steps of the work under way (cli/display/progress.py shows them), and events of containers.

Both travel over the control socket as JSON, so that one process shows what the supervisor does in another.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from pycompose.engine.config import from_json, plain
from pycompose.engine.dataclass import dataclass

# What is told of a network or an image that `down` leaves because somebody else has it (Compose's words).
STILL_IN_USE = "Resource is still in use"


class Phase(Enum):
    """How far a piece of work is; the renderers choose colour and mark by it."""

    WORKING = "working"
    DONE = "done"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of one resource: `Container demo-web-1` `Starting`.

    `subject` is what Compose prints ("Container demo-web-1", "Network demo_default", "Volume demo_data",
    "Image busybox"). `text` is the verb ("Creating", "Started", "Healthy", …). `parent` groups layers under an
    image. `current`/`total` are bytes where there is progress to show. A step of a build has a `number` and lines of
    its own, `log`, and is in BuildKit's form what `record` says. With a `source` it is a line, `log`, that a hook has
    printed, for who has asked for those (`web-1 ->`).
    """

    subject: str
    text: str
    phase: Phase
    details: str = ""
    parent: str = ""
    current: int = 0
    total: int = 0
    log: str = ""
    number: int = 0
    source: str = ""
    record: dict[str, object] | None = None

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return dict(plain(self))

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Event:
        """Return the event that `to_json` made `value` from."""
        return from_json(cls, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """Something that has happened to a container, in Docker's words: `start`, `die`, `health_status: healthy`.

    It is a line of the project's journal as well (`events.jsonl`). `number` is the replica's. `active`: it runs, or
    will run again. `attributes` are Docker's (`exitCode`, `signal`) and the container's labels.
    """

    time_ns: int
    action: str
    id: str
    name: str
    service: str
    number: int
    oneoff: bool
    image: str
    active: bool
    attributes: dict[str, str]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return dict(plain(self))

    @classmethod
    def from_json(cls, value: dict[str, object]) -> ContainerEvent:
        """Return the event that `to_json` made `value` from."""
        return from_json(cls, value)


class Sink(Protocol):
    """Whoever wants events; may be called from several threads."""

    def __call__(self, event: Event, /) -> None:
        """Take one event; must not raise and must not block for long."""
        ...
