"""What a network of a project is made from: as its compose file has it, or as a container remembers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.labels import CONFIG_HASH, NETWORK, PROJECT
from pycompose.networking.model import DEFAULT_BRIDGE, NetworkSpec, Pool
from pycompose.state.records import read_service
from pycompose.state.users import network_users

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Network


def network_spec(project: str, network: Network) -> NetworkSpec:
    """Return how the networking is asked for a network of a project; the default one is nobody's."""
    if network.name == DEFAULT_BRIDGE:
        return NetworkSpec(name=DEFAULT_BRIDGE, project="")
    return NetworkSpec(
        name=network.name,
        project=project,
        driver=network.driver,
        internal=network.internal,
        attachable=network.attachable,
        enable_ipv4=network.enable_ipv4,
        enable_ipv6=network.enable_ipv6,
        pools=tuple(
            Pool(subnet=p.subnet, ip_range=p.ip_range, gateway=p.gateway, aux=p.aux_addresses)
            for p in network.ipam
        ),
        ipam_options=network.ipam_options,
        options=network.driver_opts,
        labels={
            **network.labels,
            PROJECT: project,
            NETWORK: network.key,
            CONFIG_HASH: network.hash,
        },
        external=network.external,
    )


def remembered_spec(paths: StatePaths, name: str) -> NetworkSpec | None:
    """Return what a project's network was made from, None when no container of the project is left on it."""
    for container in network_users(paths).get(name, ()):
        for network in read_service(paths, container.id).networks.values():
            if network.name == name and not network.external:
                return network_spec(container.config.project, network)
    return None
