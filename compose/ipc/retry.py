"""What is asked of a project once more when its supervisor or its keeper dies before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pycompose.engine.errors import KeeperLost
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.events import Sink
    from pycompose.ipc.requests import SupervisorRequest

T = TypeVar("T")


def persistently(request: SupervisorRequest[Any], work: Callable[[], T], sink: Sink) -> T:
    """Return what `work`, which asks for `request`, returns.

    At the second attempt, if a process of ours has died during the first and the request is repeatable. Raises what
    the last attempt raises.
    """
    try:
        return work()
    except (KeeperLost, NotRunning) as exc:
        if not request.repeatable:
            raise
        who = "keeper" if isinstance(exc, KeeperLost) else "supervisor"
        text = f"the project's {who} has died: another one takes over, trying again"
        sink(Event(subject="", text=text, phase=Phase.WARNING))
    return work()
