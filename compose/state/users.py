"""Every container of the machine, and which of them refer to a volume or a network."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pycompose.state.snapshot import read_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.config import Mount
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import ObservedContainer


def all_containers(paths: StatePaths) -> Iterator[ObservedContainer]:
    """Yield every container of the machine, by id."""
    try:
        ids = sorted(entry.name for entry in paths.containers.iterdir())
    except FileNotFoundError:
        return
    for container_id in ids:
        container = read_container(paths, container_id)
        if container is not None:
            yield container


def volume_of(paths: StatePaths, mount: Mount) -> str:
    """Return the name of the volume that is mounted, "" for a mount of something else."""
    root = f"{paths.volumes}/"
    return mount.source.removeprefix(root).split("/", 1)[0] if mount.source.startswith(root) else ""


def volume_users(paths: StatePaths) -> dict[str, list[ObservedContainer]]:
    """Return the containers that mount each volume, running or not."""
    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        names = {volume_of(paths, mount) for mount in container.config.mounts}
        for name in names - {""}:
            users.setdefault(name, []).append(container)
    return users


def network_users(paths: StatePaths) -> dict[str, list[ObservedContainer]]:
    """Return the containers that refer to each network, running or not."""
    from pycompose.state.records import read_service  # noqa: PLC0415 - not for volumes, and lists of containers

    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        with contextlib.suppress(FileNotFoundError):
            for network in read_service(paths, container.id).networks.values():
                users.setdefault(network.name, []).append(container)
    return users
