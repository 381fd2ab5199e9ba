"""What the parts of a stack ask of it (stack.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from pycompose.client.context import Context
    from pycompose.config.load import Loaded
    from pycompose.engine.config import Limits
    from pycompose.testing.results import OutputLine
    from pycompose.testing.undo import Fault

Action = Literal["start", "stop", "restart", "kill", "pause", "unpause"]


class EventWait(Protocol):
    """Something that ends a wait early."""

    def wait(self, timeout_s: float) -> None:
        """Wait for an event, for `timeout_s` at most."""
        ...


class StackAccess(Protocol):
    """A stack, as its services, faults and snapshots see it."""

    context: Context
    isolated: bool  # a copy of the project, with volumes of its own

    @property
    def name(self) -> str:
        """The project's name."""
        ...

    @property
    def services(self) -> tuple[str, ...]:
        """The names of all services of the files."""
        ...

    @property
    def loaded(self) -> Loaded:
        """The compose files."""
        ...

    def load(self, services: Sequence[str] = ()) -> Loaded:
        """Read them again, with the profiles of `services`."""
        ...

    def logs(self, *services: str, since_ns: int = 0) -> list[OutputLine]:
        """Return lines of services."""
        ...

    def changes(self) -> AbstractContextManager[EventWait]:
        """Return what can be waited on."""
        ...

    def timeout_of(self, service: str) -> float:
        """Return for how long a service is waited for, in seconds."""
        ...

    def await_service(self, service: str) -> None:
        """Wait until a service is ready."""
        ...

    def act(
        self, action: Action, *services: str, timeout_s: float | None = None, signal: str = "SIGKILL"
    ) -> None:
        """Do what a command does."""
        ...

    def scale(self, service: str, replicas: int) -> None:
        """Have this many containers."""
        ...

    def limit(self, service: str, limits: Limits) -> None:
        """Change limits."""
        ...

    def disconnect(self, service: str, network: str) -> Fault:
        """Take a service off a network."""
        ...

    def freeze(self, service: str) -> Fault:
        """Stop a service in the middle of what it does."""
        ...

    def kill(self, service: str) -> Fault:
        """Let a service crash."""
        ...

    def fault(self, service: str, **what: Any) -> Fault:
        """Break a service's network."""
        ...
