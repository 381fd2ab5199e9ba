"""What is to be done, as data: one class per operation, nodes with causes, a plan that prints itself.

    [] -> #1 CreateNetwork demo_default, not found
    [1] -> #2 CreateContainer demo-web-1, no existing container
    [2] -> #3 RunInitContainer demo-web-pre_start-0, has not succeeded yet
    [2,3] -> #4 StartContainer demo-web-1, created by #2

Whoever makes a plan has decided: supervisor/execute.py walks it, supervisor/operations.py does what each operation says
or, with `--dry-run`, only tells it. A new operation is a class here, a member of `Operation`, and a case wherever mypy
then finds one missing (`assert_never`).
"""

from __future__ import annotations

from typing import assert_never

from pycompose.engine.dataclass import dataclass, field
from pycompose.model import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork:
    """Create the network with this key of the project."""

    key: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNetwork:
    """Remove the network of this name; `optional` leaves one that is still used, with a warning."""

    name: str
    optional: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    """Create the volume with this key of the project."""

    key: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveVolume:
    """Remove the volume of this name and its data."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer:
    """Make a container of a service. `replaces` is the id whose anonymous volumes and name it takes over.

    `beside` is its name as long as that one is there too: then the old one is stopped after the new one has started.
    """

    service: str
    number: int
    name: str
    replaces: str = ""
    beside: str = ""
    renew_volumes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInitContainer:
    """Run a `pre_start` hook of a service to its end, for the container that waits for it (as in StartContainer).

    The init container is called `name`.
    """

    service: str
    number: int
    index: int
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Start a container; `id` is "" for the one of this service and number that the plan itself creates."""

    service: str
    number: int
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFirst:
    """Start a replacement while the old container still runs, and lead ports and names to it when it is ready.

    When that fails the new one is removed, and the old one has not noticed.
    """

    service: str
    number: int
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepContainer:
    """Let a container that runs go on: somebody wanted it to stop, but it has not been told yet."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer:
    """Give the container of a service and number, which the plan itself has created, its name."""

    service: str
    number: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitService:
    """Wait until every container of the service has reached the condition; `required` False only warns.

    `containers` are the names of those that there will be by then.
    """

    service: str
    condition: Condition
    required: bool = True
    containers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer:
    """Stop a container; `timeout_s` None is its own grace period, `signal` 0 its own signal.

    One that is `replaced` goes without a word.
    """

    id: str
    name: str
    service: str
    timeout_s: float | None = None
    signal: int = 0
    replaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer:
    """Remove a stopped container; `volumes` removes its anonymous volumes too."""

    id: str
    name: str
    service: str
    volumes: bool = False
    replaced: bool = False


Operation = (
    CreateNetwork
    | RemoveNetwork
    | CreateVolume
    | RemoveVolume
    | CreateContainer
    | RunInitContainer
    | StartContainer
    | StartFirst
    | KeepContainer
    | RenameContainer
    | AwaitService
    | StopContainer
    | RemoveContainer
)


def label(operation: Operation) -> str:
    """Return the name a person knows it by: that of what it is about."""
    if isinstance(operation, AwaitService):
        return f"{operation.service} {operation.condition.value}"
    return operation.name


def touched(operation: Operation) -> str:
    """Return the id of the container that was there before and that the operation is about, "" without one."""
    match operation:
        case RunInitContainer() | StartContainer() | StartFirst() | KeepContainer():
            return operation.id
        case StopContainer() | RemoveContainer():
            return operation.id
        case CreateContainer():
            return operation.replaces
        case CreateNetwork() | RemoveNetwork() | CreateVolume() | RemoveVolume():
            return ""
        case RenameContainer() | AwaitService():
            return ""
        case _:
            assert_never(operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation, why it is there, and the numbers of the nodes that must be done before."""

    number: int
    operation: Operation
    cause: str
    after: tuple[int, ...] = ()

    def __str__(self) -> str:
        after = ",".join(map(str, self.after))
        kind = type(self.operation).__name__
        return f"[{after}] -> #{self.number} {kind} {label(self.operation)}, {self.cause}"


@dataclass(slots=True)
class Plan:
    """Nodes in an order in which each comes after those it waits for; numbers count from 1."""

    nodes: list[Node] = field(default_factory=list)

    def add(self, operation: Operation, cause: str, *after: int) -> int:
        """Append a node and return its number; zeros in `after` (nothing to wait for) are dropped."""
        number = len(self.nodes) + 1
        waits = tuple(sorted({item for item in after if item}))
        self.nodes.append(Node(number=number, operation=operation, cause=cause, after=waits))
        return number

    def __str__(self) -> str:
        return "".join(f"{node}\n" for node in self.nodes)

    def __bool__(self) -> bool:
        return bool(self.nodes)
