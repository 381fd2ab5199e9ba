"""Which volumes containers have mounted: told in the machine's journal as dockerd tells it, for each run anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine import journal
from pycompose.engine.config import MountKind
from pycompose.state.users import volume_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycompose.engine.config import ContainerConfig, Mount
    from pycompose.engine.paths import StatePaths


class MountedVolumes:
    """The volumes of one project's containers that run; used by several threads, by one at a time for a container."""

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._names: dict[str, list[str]] = {}

    def adopt(self, configs: Iterable[ContainerConfig]) -> None:
        """Take note of what containers have mounted that run since an earlier supervisor, who has told of it."""
        for config in configs:
            self._names[config.id] = [name for _, name in self._volumes(config)]

    def begin(self, config: ContainerConfig) -> None:
        """Tell that a container has its volumes (moby MountPoint.Setup, LogVolumeEvent)."""
        found = list(self._volumes(config))
        self._names[config.id] = [name for _, name in found]
        for mount, name in found:
            attributes = {
                "container": config.id,
                "destination": mount.target,
                "driver": "local",
                "propagation": "",
                "read/write": "false" if mount.read_only else "true",
            }
            journal.record(self._paths, "volume", "mount", name, attributes)

    def end(self, container_id: str) -> None:
        """Tell that a container's run has no volumes any more; no news is told twice."""
        for name in self._names.pop(container_id, ()):
            attributes = {"container": container_id, "driver": "local"}
            journal.record(self._paths, "volume", "unmount", name, attributes)

    def _volumes(self, config: ContainerConfig) -> Iterator[tuple[Mount, str]]:
        for mount in config.mounts:
            if mount.kind is MountKind.BIND and (name := volume_of(self._paths, mount)):
                yield mount, name
