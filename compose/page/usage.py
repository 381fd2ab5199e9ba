"""What running containers use: processor, memory and network, for the plots of the page."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.cgroups.stats import StatsReader, cpu_percent
from pycompose.engine.errors import EngineError
from pycompose.engine.state import Status
from pycompose.state.snapshot import observe_containers

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.engine.cgroups.stats import Sample
    from pycompose.policy.observed import ObservedContainer

# Percent of one processor; bytes in use, of the limit, received and sent since the start.
Use = tuple[float, int, int, int, int]


class Usage:
    """Keeps the files of control groups open from one sample to the next."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._readers: dict[str, tuple[StatsReader, Sample]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all files, after a sample that is being taken."""
        with self._lock:
            for reader, _ in self._readers.values():
                reader.close()
            self._readers.clear()

    def sample(self, projects: Iterable[str]) -> dict[str, Use]:
        """Return what each running container uses, by id; of new ones from the second sample on."""
        running = {
            container.id: container
            for project in projects
            for container in observe_containers(self._context.paths, project)[0]
            if container.state.status in (Status.RUNNING, Status.PAUSED)
        }
        found = {}
        with self._lock:
            for gone in self._readers.keys() - running.keys():
                self._readers.pop(gone)[0].close()
            for key, container in running.items():
                with contextlib.suppress(OSError, EngineError):  # it is ending
                    use = self._one(container)
                    if use is not None:
                        found[key] = use
        return found

    def _one(self, container: ObservedContainer) -> Use | None:
        known = self._readers.get(container.id)
        if known is None:
            own = container.config.namespaces.network != "host"
            group = open_existing(self._context.paths, container.id, parent=container.config.cgroup_parent)
            reader = StatsReader(group, container.state.pid if own else None)
            self._readers[container.id] = (reader, reader.sample())
            return None
        reader, before = known
        after = reader.sample()
        self._readers[container.id] = (reader, after)
        return (
            round(cpu_percent(before, after), 2),
            after.memory_bytes,
            after.memory_limit_bytes,
            after.net_rx_bytes,
            after.net_tx_bytes,
        )
