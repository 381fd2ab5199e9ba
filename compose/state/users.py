"""Every container of the machine, and which of them refer to a volume or a network."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pycompose.engine.paths import BUILDS, DOCKER_SOCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.engine.config import Mount
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Port
    from pycompose.policy.observed import ObservedContainer, PortBinding


def all_containers(paths: StatePaths) -> Iterator[ObservedContainer]:
    """Yield every container of the machine, by id; what steps of builds run in are none."""
    try:
        ids = sorted(os.listdir(paths.containers))
    except FileNotFoundError:
        return
    if not ids:
        return
    from pycompose.state.snapshot import read_container  # noqa: PLC0415 - not for a machine without containers

    for container_id in ids:
        container = read_container(paths, container_id)
        if container is not None and not container.config.project.startswith(BUILDS):
            yield container


def port_holder(paths: StatePaths, port: Port) -> ObservedContainer | None:
    """Return the running container that publishes the first host port that `port` asks for, None without one."""
    for container in all_containers(paths):
        if container.running and any(in_the_way(port, binding) for binding in container.runtime.ports):
            return container
    return None


def in_the_way(port: Port, binding: PortBinding) -> bool:
    """Tell whether the first host port that `port` asks for can't be had while there is `binding`."""
    number = port.published[0] if port.published else 0
    everywhere = {port.host_ip, binding.host_ip} & {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    same = bool(everywhere) or port.host_ip == binding.host_ip
    return same and (binding.host_port, binding.protocol) == (number, port.protocol)


def volume_of(paths: StatePaths, mount: Mount) -> str:
    """Return the name of the volume that is mounted, "" for a mount of something else."""
    root = f"{paths.volumes}/"
    return mount.source.removeprefix(root).split("/", 1)[0] if mount.source.startswith(root) else ""


def source_of(paths: StatePaths, container_id: str, mount: Mount) -> str:
    """Return what a mount shows as its service names it: in Docker's socket's place there is one of our own."""
    return DOCKER_SOCKETS[0] if mount.source == str(paths.api_socket(container_id)) else mount.source


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
    users: dict[str, list[ObservedContainer]] = {}
    for container in all_containers(paths):
        from pycompose.state.records import read_service  # noqa: PLC0415 - not for a machine without containers

        with contextlib.suppress(FileNotFoundError):
            for network in read_service(paths, container.id).networks.values():
                users.setdefault(network.name, []).append(container)
    return users
