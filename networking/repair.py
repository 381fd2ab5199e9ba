"""Making again what somebody else has deleted, or set down, of networks: bridges, their addresses and routes, veths.

All of it is looked for first: who asks may have been told of what we have deleted ourselves.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pycompose.networking import interfaces
from pycompose.networking.driver import driver_of
from pycompose.networking.endpoints import connect_all
from pycompose.networking.model import EndpointState
from pycompose.networking.netlink.rtnetlink import Netlink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pycompose.networking.model import EndpointSpec, NetworkState
    from pycompose.networking.records import NetworkRecords


def repair_network(state: NetworkState) -> list[str]:
    """Make what is missing of a network's links, addresses and routes; return what that was. Raises NetworkError."""
    with Netlink() as netlink:
        missing = [
            f"bridge {name}" + (" that was down" if netlink.index(name) else "")
            for name in driver_of(state).links(state)
            if not netlink.is_up(name)
        ]
        if not missing and state.bridge:
            missing += _missing_addresses(netlink, state)
        if missing:
            driver_of(state).ensure(state)
        batch = netlink.batch()
        for address, subnet in state.router_addresses:
            if ipaddress.ip_network(subnet) not in netlink.routes():
                if not missing:
                    missing.append(f"route to {subnet}")
                batch.add_link_route(state.bridge, netlink.index(state.bridge), subnet, address)
        batch.commit()
    return missing


def _missing_addresses(netlink: Netlink, state: NetworkState) -> list[str]:
    known = netlink.addresses(netlink.index(state.bridge))
    return [
        f"address {address} of {state.bridge}"
        for address, _subnet in state.router_addresses
        if address not in known
    ]


def repair_container(
    records: NetworkRecords, pin: Path, container_id: str, specs: Sequence[EndpointSpec]
) -> list[str]:
    """Make a container's interfaces again where one end is gone; return which those were. Raises NetworkError."""
    connected: list[tuple[EndpointSpec, EndpointState]] = []
    for spec in sorted(specs, key=lambda spec: (-spec.priority, spec.network)):
        record = records.load(spec.network)
        attachment = record.attachments.get(container_id) if record is not None else None
        if record is not None and attachment is not None:
            state = EndpointState(
                network=record.state,
                attachment=attachment,
                link_local=spec.link_local_ips,
                sysctls=spec.sysctls,
            )
            connected.append((spec, state))
    with Netlink() as netlink:
        ports = {link.name: link.master for link in netlink.links() if link.up}
        broken = [
            state.attachment.interface
            for _spec, state in connected
            if state.attachment.veth
            and ports.get(state.attachment.veth, -1) != netlink.index(state.network.bridge)
        ]
    if broken:
        connect_all(pin, interfaces.choose_gateways(connected))
    return [f"interface {name}" for name in broken]
