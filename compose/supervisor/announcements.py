"""What people are told about the operations of a plan, done or rehearsed (`--dry-run`): the same, from one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from pycompose.engine.dataclass import dataclass
from pycompose.events import Event, Phase
from pycompose.model import Condition
from pycompose.policy.plan import (
    AwaitService,
    CreateContainer,
    CreateNetwork,
    CreateVolume,
    KeepContainer,
    Operation,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    RunInitContainer,
    StartContainer,
    StartFirst,
    StopContainer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.events import Sink
    from pycompose.policy.plan import Plan

CONDITION_DONE = {Condition.STARTED: "Started", Condition.HEALTHY: "Healthy", Condition.COMPLETED: "Exited"}


def orphans_found(names: Iterable[str]) -> Event:
    """Return the warning about containers whose service isn't in the file."""
    text = (
        f"Found orphan containers ([{', '.join(names)}]) for this project. If you removed or renamed this service in "
        "your compose file, you can run this command with the --remove-orphans flag to clean it up."
    )
    return Event(subject="", text=text, phase=Phase.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What people are told about an operation: of whom, before it, and when it is done; "" is nothing."""

    subject: str
    working: str
    done: str


def announced(operation: Operation) -> list[Announcement]:
    """Return what people are told about an operation (Compose's words)."""
    kind, working, done = _words(operation)
    names = operation.containers if isinstance(operation, AwaitService) else (operation.name,)
    return [Announcement(subject=f"{kind} {name}", working=working, done=done) for name in names]


def _words(operation: Operation) -> tuple[str, str, str]:
    match operation:
        case CreateNetwork():
            return "Network", "Creating", "Created"
        case RemoveNetwork():
            return "Network", "Removing", "Removed"
        case CreateVolume():
            return "Volume", "Creating", "Created"
        case RemoveVolume():
            return "Volume", "Removing", "Removed"
        case CreateContainer() if operation.replaces:
            return "Container", "Recreate", ""
        case CreateContainer():
            return "Container", "Creating", "Created"
        case RunInitContainer():
            return "Container", "Running", "Exited"
        case StartContainer() | StartFirst():
            return "Container", "Starting", "Started"
        case KeepContainer():
            return "Container", "", "Running"
        case AwaitService():
            return "Container", "Waiting", CONDITION_DONE[operation.condition]
        case StopContainer() if not operation.replaced:
            return "Container", "Stopping", "Stopped"
        case RemoveContainer() if not operation.replaced:
            return "Container", "Removing", "Removed"
        case RemoveContainer():
            return "Container", "", "Recreated"
        case StopContainer() | RenameContainer():
            return "Container", "", ""
        case _:
            assert_never(operation)


def rehearse(plan: Plan, sink: Sink) -> None:
    """Tell what performing the plan would tell, with its causes."""
    for node in plan.nodes:
        for step in announced(node.operation):
            details = f"({node.cause})"
            if step.working:
                early = "" if step.done else details
                sink(Event(subject=step.subject, text=step.working, phase=Phase.WORKING, details=early))
            if step.done:
                sink(Event(subject=step.subject, text=step.done, phase=Phase.DONE, details=details))


def rehearse_wait(names: Iterable[str], sink: Sink) -> None:
    """Tell what `--wait` would tell of these containers when all goes well."""
    for name in names:
        sink(Event(subject=f"Container {name}", text="Waiting", phase=Phase.WORKING))
        sink(Event(subject=f"Container {name}", text="Healthy", phase=Phase.DONE))
