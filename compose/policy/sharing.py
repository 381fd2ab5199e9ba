"""Which other containers a service needs to exist before its own is made: shared namespaces and volumes_from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycompose.model import Project, Service


def joined_modes(service: Service) -> list[str]:
    """Return the "service:x" and "container:x" among the service's namespaces and volumes_from, each once."""
    modes = [
        service.network_mode,
        service.pid,
        service.ipc,
        *(source for source, _ in volume_sources(service)),
    ]
    return [mode for mode in dict.fromkeys(modes) if mode.startswith(("service:", "container:"))]


def joined_services(project: Project, service: Service) -> list[str]:
    """Return the services of the project among them, also those whose container is called by its name."""
    owners = project.container_owners() if service.joined_containers() else {}
    found = [mode.removeprefix("service:") for mode in joined_modes(service) if mode.startswith("service:")]
    return [*found, *(owners[name] for name in service.joined_containers() if name in owners)]


def volume_sources(service: Service) -> list[tuple[str, bool]]:
    """Return ("service:x" or "container:x", read-only) of each `volumes_from` entry, `[container:]NAME[:ro|rw]`."""
    found = []
    for entry in service.volumes_from:
        kind, prefix = ("container", "container:") if entry.startswith("container:") else ("service", "")
        name, _, mode = entry.removeprefix(prefix).partition(":")
        found.append((f"{kind}:{name}", mode == "ro"))
    return found
