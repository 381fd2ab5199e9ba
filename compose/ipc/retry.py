"""What is asked of a project once more when its supervisor or its keeper dies before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pycompose.engine.errors import KeeperLost
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.events import Sink

T = TypeVar("T")

# Operations of the supervisor that do the same, done twice. A signal that was sent would be sent twice.
REPEATABLE = frozenset({"apply", "down", "start", "stop", "restart", "rm", "pause", "rename", "update"})


def persistently(operation: str, work: Callable[[], T], sink: Sink) -> T:
    """Return what `work`, which asks for `operation`, returns.

    At the second attempt, if a process of ours has died during the first. Raises what the last attempt raises.
    """
    try:
        return work()
    except (KeeperLost, NotRunning) as exc:
        if operation not in REPEATABLE:
            raise
        who = "keeper" if isinstance(exc, KeeperLost) else "supervisor"
        text = f"the project's {who} has died: another one takes over, trying again"
        sink(Event(subject="", text=text, phase=Phase.WARNING))
    return work()
