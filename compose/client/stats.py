"""`stats`: what containers use, as one list of samples after another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycompose.client.selection import chosen_containers, running_containers
from pycompose.client.views import StatsView
from pycompose.engine.cgroups.base import open_existing
from pycompose.engine.cgroups.stats import StatsReader, cpu_percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import StatsOptions
    from pycompose.engine.cgroups.stats import Sample
    from pycompose.policy.observed import ObservedContainer


def stats(context: Context, project_name: str, options: StatsOptions) -> Iterator[list[StatsView]]:
    """Yield one list of samples after another, each `interval_s` after the last; without `stream` one list."""
    readers: dict[str, tuple[StatsReader, Sample]] = {}
    try:
        while True:
            containers = running_containers(context, project_name, options)
            for container in containers:
                if container.id not in readers:
                    # On the host's network the counters would be the machine's.
                    own = container.config.namespaces.network != "host"
                    group = open_existing(context.paths, container.id, parent=container.config.cgroup_parent)
                    reader = StatsReader(group, container.state.pid if own else None)
                    readers[container.id] = (reader, reader.sample())
            time.sleep(options.interval_s)  # a rate needs two samples with time between them
            views = [_stats_view(container, readers) for container in containers]
            if options.all:
                views += _stopped(context, project_name, options, {container.id for container in containers})
            yield sorted(views, key=lambda view: view.container)
            if not options.stream:
                return
    finally:
        for reader, _ in readers.values():
            reader.close()


def _stats_view(container: ObservedContainer, readers: dict[str, tuple[StatsReader, Sample]]) -> StatsView:
    reader, before = readers[container.id]
    after = reader.sample()
    readers[container.id] = (reader, after)
    return StatsView(
        container_id=container.id,
        container=container.name,
        service=container.service,
        number=container.number,
        uncounted=reader.uncounted(),
        cpu_percent=cpu_percent(before, after),
        memory_bytes=after.memory_bytes,
        memory_limit_bytes=after.memory_limit_bytes,
        network_received_bytes=after.net_rx_bytes,
        network_sent_bytes=after.net_tx_bytes,
        block_read_bytes=after.block_read_bytes,
        block_written_bytes=after.block_write_bytes,
        pids=after.pids,
    )


def _stopped(
    context: Context, project_name: str, options: StatsOptions, running: set[str]
) -> Iterator[StatsView]:
    for container in chosen_containers(context, project_name, options):
        if container.id not in running:
            yield StatsView(
                container_id=container.id,
                container=container.name,
                service=container.service,
                number=container.number,
                running=False,
            )
