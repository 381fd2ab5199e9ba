"""Which interface a container has on each of its networks, and where its default routes go: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError
from pycompose.networking.model import IFNAMSIZ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.networking.model import EndpointSpec, EndpointState
    from pycompose.networking.records import NetworkRecord


def choose_names(container_id: str, wanted: Sequence[tuple[EndpointSpec, NetworkRecord]]) -> list[str]:
    """Return an interface name for each endpoint: the one it has, or asks for, or the next free number.

    Raises NetworkError for a name that the kernel doesn't take, and for one that is asked for twice.
    """
    names = []
    for spec, record in wanted:
        old = record.attachments.get(container_id)
        names.append(old.interface if old else spec.interface_name)
    used = {name for name in names if name}
    if len(used) != sum(1 for name in names if name):
        raise NetworkError(f"container {container_id[:12]}: connect: two networks ask for one interface_name")
    for place, (spec, record) in enumerate(wanted):
        if names[place]:
            _check_name(spec, names[place])
            continue
        number = 0
        while (name := f"{record.state.interface_prefix}{number}") in used:
            number += 1
        names[place] = name
        used.add(name)
    return names


def choose_gateways(endpoints: Sequence[tuple[EndpointSpec, EndpointState]]) -> list[EndpointState]:
    """Return the endpoints, one of them with the default gateway of each family.

    It is the one of the highest gw_priority, then of the first network name; internal networks have none.
    """
    ranked = sorted(
        (place for place, (_spec, endpoint) in enumerate(endpoints) if not endpoint.network.internal),
        key=lambda place: (-endpoints[place][0].gw_priority, endpoints[place][0].network),
    )
    result = [endpoint for _spec, endpoint in endpoints]
    for number, family in enumerate(("gateway", "gateway6")):
        for place in ranked:
            if gateway := result[place].network.default_routes[number]:
                result[place] = replace(result[place], **{family: gateway})
                break
    return result


def _check_name(spec: EndpointSpec, name: str) -> None:
    if (
        len(name) > IFNAMSIZ
        or name in {"lo", ".", ".."}
        or any(char in "/:" or char.isspace() for char in name)
    ):
        raise NetworkError(
            f"network {spec.network}: interface_name {name!r} is not an interface name",
            hint=f"{IFNAMSIZ} characters at most, without '/', ':' and blanks",
        )
