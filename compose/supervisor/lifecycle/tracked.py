"""One container as the supervisor knows it while it lives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.state import Status, transition
from pycompose.policy.restart import RestartState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.config import ContainerConfig
    from pycompose.policy.health import HealthState
    from pycompose.state.records import ServiceRecord


@dataclass(slots=True)
class TrackedContainer:
    """One container. `starts` counts those by this supervisor, `warnings` are of the last.

    One that `keeps_network` is stopped to be started again, and its network waits for that. An exit that is told while
    it is `starting` is taken when its start is known (`deferred_exit`). `cleanup` is what follows its last exit.
    `begun` is set by the next start, which leaves a new one here.
    """

    config: ContainerConfig
    record: ServiceRecord
    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    starts: int = 0
    started_s: float = 0.0
    started_ns: int = 0
    paused_s: float = 0.0
    warnings: tuple[str, ...] = ()
    stopped: bool = False
    stopping: bool = False
    keeps_network: bool = False
    starting: bool = False
    deferred_exit: Callable[[], None] | None = None
    health: HealthState | None = None
    restart: RestartState = field(default_factory=RestartState)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    health_task: asyncio.Task[None] | None = None
    restart_task: asyncio.Task[None] | None = None
    cleanup: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """Name of the container."""
        return self.config.name

    @property
    def service(self) -> str:
        """Key of its service."""
        return self.record.service.name

    def move(self, status: Status) -> None:
        """Change its status; raises InvalidTransition for a change that no container makes (engine/state.py)."""
        self.status = transition(self.name, self.status, status)

    @property
    def active(self) -> bool:
        """Whether it runs or is about to run again."""
        return self.status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)

    @property
    def expected(self) -> bool:
        """Whether who follows it should wait for more: it is active, or a `restart` of it is under way."""
        return self.active or self.keeps_network
