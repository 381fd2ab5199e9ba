"""What is to be done, as data: one class per operation, nodes with causes, a plan that prints itself.

    [] -> #1 CreateNetwork demo_default, not found
    [1] -> #2 CreateContainer demo-web-1, no existing container
    [2] -> #3 StartContainer demo-web-1, created

The reconciler makes plans, execute.py walks them; `--dry-run` and the tests print them.
"""

from __future__ import annotations

from pycompose.engine.dataclass import dataclass, field
from pycompose.model import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork:
    """Create the network with this key of the project."""

    key: str
    name: str

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNetwork:
    """Remove the network of this name; `optional` leaves one that is still used, with a warning."""

    name: str
    optional: bool = True

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    """Create the volume with this key of the project."""

    key: str
    name: str

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveVolume:
    """Remove the volume of this name and its data."""

    name: str

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


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

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Start the newest container of a service and number; `id` is "" when the plan itself creates it."""

    service: str
    number: int
    name: str
    id: str = ""

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer:
    """Give the container of a service and number, which the plan itself has created, its name."""

    service: str
    number: int
    name: str

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitService:
    """Wait until every container of the service has reached the condition; `required` False only warns."""

    service: str
    condition: Condition
    required: bool = True

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return f"{self.service} {self.condition.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer:
    """Stop a container; `timeout_s` None is its own grace period."""

    id: str
    name: str
    service: str
    timeout_s: float | None = None

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer:
    """Remove a stopped container; `volumes` removes its anonymous volumes too."""

    id: str
    name: str
    service: str
    volumes: bool = False
    replaced: bool = False

    @property
    def label(self) -> str:
        """The name a person knows it by."""
        return self.name


Operation = (
    CreateNetwork
    | RemoveNetwork
    | CreateVolume
    | RemoveVolume
    | CreateContainer
    | StartContainer
    | RenameContainer
    | AwaitService
    | StopContainer
    | RemoveContainer
)


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
        return f"[{after}] -> #{self.number} {kind} {self.operation.label}, {self.cause}"


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
