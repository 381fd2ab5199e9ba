"""Which networks and volumes services use, and whether one is what the compose file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.model import Network, Project, Service, Volume
    from pycompose.policy.observed import ObservedResource


def networks_of(services: Iterable[Service]) -> set[str]:
    """Return the keys of the networks that services are on."""
    return {endpoint.network for service in services for endpoint in service.networks}


def volumes_of(services: Iterable[Service]) -> set[str]:
    """Return the keys of the volumes that services mount; anonymous ones have none."""
    return {
        volume.source
        for service in services
        for volume in service.volumes
        if volume.kind == "volume" and volume.source
    }


def changed(declared: Network | Volume, there: ObservedResource) -> bool:
    """Tell whether the one that exists isn't what the compose file declares; external ones are what they are."""
    return not declared.external and there.made_from not in ("", declared.hash)


def changed_volumes(
    project: Project, services: Iterable[Service], there: Mapping[str, ObservedResource]
) -> list[Volume]:
    """Return the services' volumes that are `there`, by name, but aren't what the compose file says."""
    volumes = [project.volumes[key] for key in sorted(volumes_of(services))]
    return [volume for volume in volumes if volume.name in there and changed(volume, there[volume.name])]
