"""How long the parts of a stack take, from the progress that the use cases tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.testing.results import ServiceTimes, StackTimes

if TYPE_CHECKING:
    from pycompose.events import Event


class TimeKeeper:
    """Notes when containers are created and started, and services ready; `warnings` are texts for people."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._containers: dict[str, ServiceTimes] = {}
        self._ready: dict[str, float] = {}
        self._whole_s = 0.0
        self._images_s = 0.0
        self.warnings: list[str] = []

    def event(self, event: Event) -> None:
        """Take a step of the work."""
        kind, _, name = event.subject.partition(" ")
        now_s = time.monotonic() - self._began_s
        if kind == "Image" and event.text in ("Pulled", "Built"):
            self._images_s = now_s
        if kind != "Container" or event.text not in ("Created", "Started"):
            return
        times = self._containers.get(name) or ServiceTimes(service=name)
        if event.text == "Created" and times.created_s is None:
            self._containers[name] = replace(times, created_s=now_s)
        elif event.text == "Started" and times.started_s is None:
            self._containers[name] = replace(times, started_s=now_s)

    def service_ready(self, service: str) -> None:
        """Note that a service is ready."""
        self._ready.setdefault(service, time.monotonic() - self._began_s)

    def ready(self) -> None:
        """Note that all is."""
        self._whole_s = time.monotonic() - self._began_s

    def result(self, project: str) -> StackTimes:
        """Return the times by service, those of its first container."""
        services = {}
        for service, ready_s in self._ready.items():
            times = self._containers.get(f"{project}-{service}-1") or ServiceTimes(service=service)
            services[service] = replace(times, service=service, ready_s=ready_s)
        return StackTimes(name=project, images_s=self._images_s, ready_s=self._whole_s, services=services)
