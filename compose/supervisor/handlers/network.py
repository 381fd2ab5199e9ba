"""`network connect` and `network disconnect`: a container gets on a network, or off it, while it runs or not.

What is changed is the container's record, so it lasts as long as the container; the next recreate makes what the
compose file says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError, NoSuchContainer
from pycompose.engine.state import Status
from pycompose.ipc.messages import ChangeResult
from pycompose.model import Endpoint, Network
from pycompose.state.records import ServiceRecord, read_runtime, write_runtime, write_service
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.ipc.requests import (
        ConnectRequest,
        ContainersRequest,
        DisconnectRequest,
        RefreshNamesRequest,
    )
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.project import ManagedProject


class NetworkHandlers:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed

    async def connect(self, peer: Peer, request: ConnectRequest, _: list[int]) -> None:
        """Put a container on one more network."""
        async with self._managed.exclusive():
            tracked = self._tracked(request)
            await self._change(tracked, with_network(tracked.name, tracked.record, request))
        peer.answer(ChangeResult())

    async def disconnect(self, peer: Peer, request: DisconnectRequest, _: list[int]) -> None:
        """Take a container off a network."""
        async with self._managed.exclusive():
            tracked = self._tracked(request)
            record = without_network(tracked.name, tracked.record, request.network)
            await self._change(tracked, record, leaving=request.network)
        peer.answer(ChangeResult())

    async def refresh_names(self, peer: Peer, _: RefreshNamesRequest, __: list[int]) -> None:
        """Look again who of other projects is on our networks."""
        await blocking(self._managed.wiring.refresh_names)
        peer.answer(ChangeResult())

    def _tracked(self, request: ContainersRequest[Any]) -> TrackedContainer:
        (found,) = self._managed.chosen((), request.ids) or (None,)
        if found is None:
            raise NoSuchContainer(f"container {request.ids[0][:12]}: is gone")
        return found

    async def _change(self, tracked: TrackedContainer, record: ServiceRecord, *, leaving: str = "") -> None:
        managed = self._managed
        if tracked.status in (Status.RUNNING, Status.PAUSED):
            endpoints = await blocking(managed.wiring.reconnect, tracked.config, record, leaving=leaving)
            runtime = await blocking(read_runtime, managed.paths, tracked.config.id)
            changed = replace(runtime, endpoints=endpoints)
            await blocking(write_runtime, managed.paths, tracked.config.id, changed)
            await blocking(managed.wiring.notify_others, (*runtime.endpoints, *endpoints))
        await blocking(write_service, managed.paths, tracked.config.id, record)
        tracked.record = record


def with_network(container: str, record: ServiceRecord, request: ConnectRequest) -> ServiceRecord:
    """Return the record with one more network; raises NetworkError when the container can't be on it."""
    name = request.network
    if record.service.network_mode and not record.service.networks:
        raise NetworkError(
            f"container {container}: cannot connect to network {name}: "
            f"its network_mode is {record.service.network_mode}"
        )
    if any(network.name == name for network in record.networks.values()):
        raise NetworkError(f"container {container}: is on network {name} already")
    endpoint = Endpoint(
        network=name,
        aliases=request.aliases,
        ipv4_address=request.ip,
        ipv6_address=request.ip6,
        link_local_ips=request.link_local,
        driver_opts=request.options,
        links=request.links,
    )
    service = replace(record.service, networks=(*record.service.networks, endpoint))
    network = Network(key=name, name=name, external=True)
    return replace(record, service=service, networks={**record.networks, name: network})


def without_network(container: str, record: ServiceRecord, name: str) -> ServiceRecord:
    """Return the record without a network; raises NetworkError when the container isn't on it."""
    keys = {key for key, network in record.networks.items() if network.name == name}
    if not keys:
        raise NetworkError(f"container {container}: is not on network {name}")
    endpoints = tuple(e for e in record.service.networks if e.network not in keys)
    networks = {key: network for key, network in record.networks.items() if key not in keys}
    return replace(record, service=replace(record.service, networks=endpoints), networks=networks)
