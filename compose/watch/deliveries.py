"""What the views say, brought to containers: to those that run at once, to the others before they start.

Everything here is called by the watcher's loop. It never waits for the supervisor, who may be waiting for it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pycompose.engine.config import MountKind
from pycompose.engine.errors import StateError
from pycompose.watch.back import SyncBack
from pycompose.watch.hold import ProjectHold
from pycompose.watch.mirror import CHANGING_S
from pycompose.watch.replicas import Replicas
from pycompose.watch.reports import WatchReport, homeless, synced, unwritten
from pycompose.watch.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycompose.engine.paths import StatePaths
    from pycompose.events import ContainerEvent
    from pycompose.policy.observed import ObservedContainer
    from pycompose.watch.errands import Errands
    from pycompose.watch.mirror import SyncOutcome
    from pycompose.watch.replicas import Replica
    from pycompose.watch.rules import Rules


class Deliveries:
    """The containers of the watched services. Until it is `enabled`, and while it is `paused`, they are left alone."""

    def __init__(  # noqa: PLR0913 - whom to tell
        self,
        paths: StatePaths,
        project: str,
        rules: Rules,
        errands: Errands,
        *,
        tell: Callable[[WatchReport], None],
        post: Callable[..., None],
        again: Callable[[Iterable[str]], None],
    ) -> None:
        """`post` has a call made by the loop, `again` has paths outside looked at once more."""
        self._errands, self._tell, self._post, self._again = errands, tell, post, again
        self.enabled = False
        self.paused = False
        # What is being built, or about to be: it gets its files afterwards.
        self.building: set[str] = set()
        self.views = {service: View(rules.of(service)) for service in rules.services}
        self._replicas = Replicas(paths, project, rules.services)
        self._hold = ProjectHold(paths, project, lambda done: post(self._sync_idle, done))
        # What a sync before a container's start asks for, which needs the container running.
        self._after_start: dict[str, dict[int, list[str]]] = {}
        self._back = SyncBack(paths, tell)
        # Services whose lack of containers has been told of.
        self._homeless: set[str] = set()

    def refresh(self) -> None:
        """Find out which containers there are."""
        self._replicas.refresh()

    def close(self) -> None:
        """Let go of the project, if it is held."""
        self._hold.close()

    def sync(self, service: str, places: set[str], began_s: float) -> None:
        """Bring what has changed to the running containers of a service, and do what follows from it."""
        found = list(self._replicas.of(service))
        replicas = [replica for replica in found if replica.running]
        if places and not found and service not in self._homeless:
            self._tell(homeless(service))
            self._homeless.add(service)
        if not places or not replicas:
            return
        written: dict[int, dict[str, None]] = {}
        for replica in replicas:
            outcome = self._brought(replica, places)
            for index, sources in outcome.written.items():
                written.setdefault(index, {}).update(dict.fromkeys(sources))
        self._follow(service, written, began_s)

    def catch_up(self, service: str) -> None:
        """Bring the running containers of a service up to date, whatever they lack."""
        if service in self.building or self.paused:
            return
        began_s = time.monotonic()
        written: dict[int, dict[str, None]] = {}
        for replica in self._replicas.of(service):
            if replica.running:
                for index, sources in self._brought(replica, None).written.items():
                    written.setdefault(index, {}).update(dict.fromkeys(sources))
        self._follow(service, written, began_s)

    def _follow(self, service: str, written: dict[int, dict[str, None]], began_s: float) -> None:
        paths = sorted({path for sources in written.values() for path in sources})
        if paths:
            self._tell(synced(service, paths, time.monotonic() - began_s))
        self._errands_for(service, written)

    def _errands_for(self, service: str, written: dict[int, Any]) -> None:
        for rule in self.views[service].rules:
            sources = written.get(rule.index)
            if sources and rule.triggered(sources):
                self._errands.after_sync(rule, [rule.place(path) for path in sources])

    def _brought(self, replica: Replica, places: set[str] | None) -> SyncOutcome:
        """Bring files to one container, and tell of what can't be written, once per reason."""
        outcome = self._replicas.bring(replica, self.views[replica.container.service], places)
        by_reason: dict[str, list[str]] = {}
        for place, reason in outcome.failures.items():
            # Memory is mounted when the container starts: what belongs there comes then.
            if replica.running or not _on_tmpfs(replica.container, place):
                by_reason.setdefault(reason, []).append(place)
        for reason, failed in by_reason.items():
            if replica.reasons.get(reason) != failed[0]:
                self._tell(unwritten(replica.container, failed, reason))
        replica.reasons = {reason: failed[0] for reason, failed in by_reason.items()}
        if outcome.again:
            self._again(outcome.again)
        if outcome.later:
            call = (self._come_back, replica.container.service, outcome.later)
            timer = threading.Timer(CHANGING_S, self._post, call)
            timer.daemon = True
            timer.start()
        return outcome

    def _come_back(self, service: str, sources: list[str]) -> None:
        """Look once more at what was being written, and bring what it is by now."""
        self._again(sources)
        self._post(self.catch_up, service)
        self._post(self.sync_idle_soon)

    def retry(self) -> None:
        """Try again what could not be written before: the disk may have room by now."""
        for service in self.views:
            if any(replica.reasons for replica in self._replicas.of(service)):
                self.catch_up(service)

    # ------------------------------------------------------------------ containers come and go

    def before_start(self, container_id: str) -> None:
        """Bring a container's files up to date before its entrypoint sees them."""
        replica = self._replicas.look(container_id)
        if replica is None or self.paused:
            return
        outcome = self._brought(replica, None)
        replica.starting = True
        if outcome.written:
            self._after_start[container_id] = {
                index: list(sources) for index, sources in outcome.written.items()
            }

    def happened(self, event: ContainerEvent) -> None:
        """Follow what becomes of a container."""
        replica = self._replicas.look(event.id)
        self._homeless.discard(event.service)
        written = self._after_start.pop(event.id, {}) if event.action in ("start", "destroy") else {}
        if replica is None:
            return
        replica.starting = replica.starting and event.action not in ("start", "die")
        if event.action == "start":
            if any(_on_tmpfs(replica.container, rule.target) for rule in self.views[event.service].rules):
                replica.mirror.forget()
            self.catch_up(event.service)
            # It has started with the files: only a command has to be run in it.
            rules = self.views[event.service].rules
            commands = {rule.index for rule in rules if rule.action == "sync+exec"}
            self._errands_for(event.service, {i: found for i, found in written.items() if i in commands})

    def compare_all(self) -> None:
        """Compare everything: containers may have started while nobody asked us."""
        self._replicas.refresh()
        for service in self.views:
            for replica in self._replicas.of(service):
                replica.starting = False
                replica.mirror.forget()
            self.catch_up(service)

    def built(self, services: tuple[str, ...]) -> None:
        """Catch up with what has changed during a build: the old container's files, if it has failed."""
        self.building.difference_update(services)
        self._replicas.refresh()
        for service in services:
            self.catch_up(service)

    def look_back(self) -> None:
        """Copy out of the first container of each service what has changed in it."""
        if self.paused or not self.enabled:
            return
        for service, view in self.views.items():
            rules = [rule for rule in view.rules if rule.sync_back is not None]
            replica = next((found for found in self._replicas.of(service) if found.running), None)
            if rules and replica is not None and service not in self.building:
                try:
                    self._back.look(replica, rules)
                except StateError:
                    continue  # it has just ended

    # ------------------------------------------------------------------ containers that don't run

    def _behind(self) -> list[Replica]:
        return [
            replica
            for service, view in self.views.items()
            if service not in self.building
            for replica in self._replicas.of(service)
            if not replica.running
            and not replica.starting
            and not replica.container.waits
            and replica.mirror.behind(view)
        ]

    def sync_idle_soon(self) -> None:
        """Bring files to containers that don't run, with the project held: two mounts of them would be undefined."""
        if self.enabled and self._behind():
            self._hold.soon()

    def _sync_idle(self, done: threading.Event) -> None:
        try:
            for replica in self._behind():
                now = self._replicas.look(replica.container.id)
                if now is not None and not now.running and not now.starting:
                    self._brought(now, None)
        finally:
            done.set()


def _on_tmpfs(container: ObservedContainer, place: str) -> bool:
    """Tell whether a place in a container lies in memory, which is empty after each start."""
    mounts = (mount.target.rstrip("/") for mount in container.config.mounts if mount.kind is MountKind.TMPFS)
    return any(place == target or place.startswith(f"{target}/") for target in mounts)
