"""Which networks and volumes services use, and whether one is what the compose file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.model import DEFAULT_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pycompose.model import Network, Project, Service, Volume
    from pycompose.policy.observed import Observed, ObservedResource


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


def renamed(project: Project, network: Network, observed: Observed) -> str:
    """Return what a network that isn't there was called when the project made it, "" if it never was."""
    return (
        ""
        if network.external
        else next(_others(network, observed.networks, project.networks, project.name), "")
    )


def leftovers(project: Project, observed: Observed, services: Collection[Service]) -> Iterator[str]:
    """Yield a warning for each network and volume that isn't what the services' compose file means by it.

    That is a network that somebody else has made, and what has kept an earlier name (Compose's words).
    """
    for key in sorted(networks_of(services)):
        network = project.networks[key]
        there = observed.networks.get(network.name)
        if network.external or there is None or network.name == DEFAULT_BRIDGE or key == f":{network.name}":
            continue
        if there.project != project.name:
            maker = f'for project "{project.name}"' if there.project else "by compose"
            yield (
                f"a network with name {network.name} exists but was not created {maker}. "
                "Set `external: true` to use an existing network"
            )
        for name in _others(network, observed.networks, project.networks, project.name):
            yield _left("network", name, network)
    for key in sorted(volumes_of(services)):
        volume = project.volumes[key]
        if not volume.external and volume.name in observed.volumes:
            for name in _others(volume, observed.volumes, project.volumes, project.name):
                yield _left("volume", name, volume)


def _others(
    declared: Network | Volume,
    there: Mapping[str, ObservedResource],
    all_declared: Mapping[str, Network] | Mapping[str, Volume],
    project: str,
) -> Iterator[str]:
    """Yield the names of what the project has made under this key, and which nothing is called now."""
    names = {item.name for item in all_declared.values()}
    for name, resource in sorted(there.items()):
        if resource.project == project and resource.key == declared.key and name not in names:
            yield name


def _left(kind: str, name: str, declared: Network | Volume) -> str:
    return (
        f'{kind} "{name}" carries the compose label "{declared.key}" but does not match the compose file '
        f'(using "{declared.name}"); it is left untouched: remove it if it is no longer needed'
    )
