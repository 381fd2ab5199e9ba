"""The containers of watched services: which there are, and getting at their files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError
from pycompose.engine.filesystem.view import whole
from pycompose.engine.state import Status, alive, exiting
from pycompose.state.snapshot import observe_containers, read_container
from pycompose.watch.mirror import Mirror, SyncOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.paths import StatePaths
    from pycompose.engine.state import ContainerState
    from pycompose.policy.observed import ObservedContainer
    from pycompose.watch.view import View


@dataclass(slots=True)
class Replica:
    """A container and what we know of its files. `starting`: it may be mounted by now, and can't be looked at.

    `reasons` are the failures that have been told already.
    """

    container: ObservedContainer
    mirror: Mirror
    starting: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether it has a process 1."""
        return self.container.state.status in (Status.RUNNING, Status.PAUSED)


class Replicas:
    """All containers of the services, but one-offs: those see what their image has, as in Compose."""

    def __init__(self, paths: StatePaths, project: str, services: tuple[str, ...]) -> None:
        self._paths, self._project, self._services = paths, project, frozenset(services)
        self._found: dict[str, Replica] = {}

    def refresh(self) -> None:
        """Read all of them anew."""
        found, _ = observe_containers(self._paths, self._project)
        for container_id in set(self._found) - {container.id for container in found}:
            del self._found[container_id]
        for container in found:
            self._take(container)

    def look(self, container_id: str) -> Replica | None:
        """Read one container anew, and return it, unless it is gone or none of ours."""
        container = read_container(self._paths, container_id)
        if container is None:
            self._found.pop(container_id, None)
            return None
        return self._take(container)

    def of(self, service: str) -> Iterator[Replica]:
        """Yield the containers of a service."""
        return (found for found in list(self._found.values()) if found.container.service == service)

    def _take(self, container: ObservedContainer) -> Replica | None:
        if container.service not in self._services or container.oneoff:
            return None
        known = self._found.get(container.id)
        if known is None:
            mirror = Mirror(self._paths.container(container.id))
            known = self._found[container.id] = Replica(container, mirror)
        known.container = container
        return known

    def bring(self, replica: Replica, view: View, places: set[str] | None = None) -> SyncOutcome:
        """Bring a container's files up to date (mirror.py). One that can't be got at stays behind, with the reason."""
        mirror = replica.mirror
        if not (mirror.behind(view) if places is None else places):
            return SyncOutcome()
        container = replica.container
        was = container.state
        try:
            with whole(self._paths, container.config, container.state) as root:
                return mirror.sync(root, view, places)
        except (PycomposeError, OSError) as exc:
            mirror.forget()
            outcome = SyncOutcome()
            if os.path.isdir(self._paths.container(container.id)) and not self._ended(replica, was):
                text = exc.message if isinstance(exc, PycomposeError) else f"{exc.filename}: {exc.strerror}"
                outcome.failures[""] = text
            return outcome

    def _ended(self, replica: Replica, was: ContainerState) -> bool:
        """Tell whether the process has ended that we have found in a container: it gets its files when it starts."""
        now = self.look(replica.container.id)
        return (
            now is None
            or now.container.state.pid != was.pid
            or (was.pid > 0 and (not alive(was) or exiting(was.pid)))
        )


def running_containers(paths: StatePaths, project: str, service: str) -> list[ObservedContainer]:
    """Return the running containers of a service; for the threads of errands."""
    found = Replicas(paths, project, (service,))
    found.refresh()
    return [replica.container for replica in found.of(service) if replica.running]
