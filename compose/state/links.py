"""What a container calls others: `links`, `external_links`, `--link`; and when Docker sets variables for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.networking.model import DEFAULT_BRIDGE
from pycompose.state.snapshot import observe_containers

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths
    from pycompose.policy.observed import RuntimeRecord
    from pycompose.state.records import ServiceRecord


def links_of(paths: StatePaths, project: str, record: ServiceRecord) -> list[tuple[str, str]]:
    """Return (container, alias) of all links of a container, as Compose writes `links` out: three for a replica."""
    service = record.service
    found = []
    others = observe_containers(paths, project)[0] if service.links else []
    for linked, alias in service.links:
        for other in others:
            if other.service == linked and not other.oneoff:
                names = (alias, f"{linked}-{other.number}", other.name)
                found += [(other.name, name) for name in names]
    return list(dict.fromkeys([*found, *service.external_links]))


def sets_variables(record: ServiceRecord) -> bool:
    """Tell whether links are those of Docker's first days: the default bridge is what the network mode names."""
    networks = record.service.networks
    return bool(networks) and record.networks[networks[0].network].name == DEFAULT_BRIDGE


def linked_address(runtime: RuntimeRecord) -> str:
    """Return where such a link leads: the address of the other on the default bridge, "" without one."""
    return next((endpoint.ip for endpoint in runtime.endpoints if endpoint.network == DEFAULT_BRIDGE), "")
