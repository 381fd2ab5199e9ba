"""How the containers of one project are connected: networks, names, published ports, firewall.

Blocking, called from threads of the supervisor; only the DNS server and the relays live on its loop. Sockets that must
outlive a supervisor are held by the keeper too, under `dns/ID` and `ports/ID`.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING

from pycompose.engine.batching import Batcher
from pycompose.engine.dataclass import dataclass, field, replace
from pycompose.engine.errors import NetworkError, PycomposeError
from pycompose.labels import CONFIG_HASH, NETWORK, PROJECT
from pycompose.networking.etc_files import upstreams
from pycompose.networking.model import NetworkSpec, Pool, PublishedPort
from pycompose.policy.observed import EndpointRecord, ObservedResource, PortBinding, RuntimeRecord
from pycompose.supervisor.network import etc_files
from pycompose.supervisor.network.dns import DnsService
from pycompose.supervisor.network.endpoints import endpoint_spec, links
from pycompose.supervisor.network.other_projects import Neighbours
from pycompose.supervisor.network.published_ports import reserve_again, take_fitting, target_port

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from pycompose.engine.api import Engine
    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Network
    from pycompose.networking.api import Networking
    from pycompose.networking.model import NetworkState
    from pycompose.networking.ports.reserve import Reservation
    from pycompose.state.records import ServiceRecord

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wired:
    """What one running container has: its addresses, its ports, whether its name is answered.

    One that `waits` is led to by nobody: it has not taken over from the one that it replaces.
    """

    endpoints: tuple[EndpointRecord, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    reservations: list[Reservation] = field(default_factory=list)
    named: bool = False
    waits: bool = False
    links: dict[str, str] = field(default_factory=dict)


class Wiring:
    """The network side of one project."""

    def __init__(
        self, paths: StatePaths, project: str, networking: Networking, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._paths = paths
        self._project = project
        self._networking = networking
        self._loop = loop
        self._lock = threading.RLock()
        self._wired: dict[str, _Wired] = {}
        self._states: dict[str, NetworkState] = {}
        self._dns = DnsService(loop, upstreams())
        self._neighbours = Neighbours(paths, project, networking)
        self._unwirings = Batcher(self._unwire)
        self.keeper: Engine | None = None

    # ------------------------------------------------------------------ networks

    def observed_networks(self) -> dict[str, ObservedResource]:
        """Return all networks of the machine, by name."""
        return {
            state.name: ObservedResource(made_from=state.labels.get(CONFIG_HASH, ""), project=state.project)
            for state in self._networking.list_networks()
        }

    def own_networks(self) -> list[str]:
        """Return the names of the networks that this project has made."""
        return [state.name for state in self._networking.list_networks(self._project)]

    def ensure_network(self, network: Network) -> None:
        """Create a network of the project unless it exists; raises NetworkError."""
        spec = NetworkSpec(
            name=network.name,
            project=self._project,
            driver=network.driver,
            internal=network.internal,
            enable_ipv4=network.enable_ipv4,
            enable_ipv6=network.enable_ipv6,
            pools=tuple(
                Pool(subnet=p.subnet, ip_range=p.ip_range, gateway=p.gateway, aux=p.aux_addresses)
                for p in network.ipam
            ),
            options=network.driver_opts,
            labels={
                **network.labels,
                PROJECT: self._project,
                NETWORK: network.key,
                CONFIG_HASH: network.hash,
            },
            external=network.external,
        )
        state = self._networking.ensure_network(spec)
        with self._lock:
            self._states[state.name] = state
            self._apply_firewall()

    def remove_network(self, name: str) -> None:
        """Remove a network; raises NetworkError while it is in use."""
        self._networking.remove_network(name)
        with self._lock:
            self._states.pop(name, None)
            self._apply_firewall()

    def remove_all(self) -> None:
        """Remove the firewall table and whatever a killed predecessor has left of the project's network."""
        with self._lock:
            self._states.clear()
            self._networking.cleanup(self._project)
            self._networking.remove_firewall(self._project)

    # ------------------------------------------------------------------ containers

    def connect(self, config: ContainerConfig, record: ServiceRecord) -> RuntimeRecord:
        """Give a container its network before it starts; raises NetworkError, PortInUse. Idempotent."""
        mode = config.namespaces.network
        if mode == "host":
            etc_files.of_the_host(self._paths, config, record)
            return RuntimeRecord()
        if mode.startswith("container:"):
            etc_files.shared(self._paths, config, mode.removeprefix("container:"))
            return RuntimeRecord()
        endpoints = self._endpoints(config, record)
        etc_files.own(self._paths, config, record, endpoints)
        wired = _Wired(endpoints=endpoints, links=links(record), waits=bool(record.takes_over))
        with self._lock:
            old = self._wired.get(config.id, _Wired())
            self._wired[config.id] = wired
            # It may ask before we hear that it runs: where it belongs has to be known by then.
            self._update_names()
        if endpoints:
            self._serve_names(config.id, record, hold=False)
        # A restart keeps its host ports: who is being cloned just now has copies of their sockets, so they aren't free.
        try:
            if record.publish and not wired.waits:
                self._publish(config, record, wired, old.reservations)
        finally:
            old.reservations = [item for item in old.reservations if item not in wired.reservations]
            if old.reservations:
                self._release_ports(config.id, old, drop=not wired.reservations)
        return RuntimeRecord(ports=wired.ports, endpoints=endpoints)

    def _endpoints(self, config: ContainerConfig, record: ServiceRecord) -> tuple[EndpointRecord, ...]:
        """Make what is missing of the container's wires, return all."""
        specs = [endpoint_spec(config, record, endpoint) for endpoint in record.service.networks]
        for spec in specs:
            self._refresh(record, spec.network)
        dns = bool(specs) and not self._dns.serves(config.id)
        states = self._networking.connect(config.id, specs, hostname=config.hostname, dns=dns)
        names = {spec.network: spec.aliases for spec in specs}
        return tuple(
            EndpointRecord(
                network=state.network.name,
                ip=state.attachment.ip,
                ip6=state.attachment.ip6,
                mac=state.attachment.mac,
                gateway=state.gateway,
                names=names[state.network.name],
            )
            for state in states
        )

    def rewire(
        self, config: ContainerConfig, record: ServiceRecord, *, leaving: str = ""
    ) -> tuple[EndpointRecord, ...]:
        """Bring a running container onto the networks of `record`, and off the one it is `leaving`.

        Its published ports stay, and lead to the first address with a way out. Raises NetworkError.
        """
        if leaving:
            self._networking.leave(config.id, leaving)
        endpoints = self._endpoints(config, record)
        etc_files.own(self._paths, config, record, endpoints)
        with self._lock:
            wired = self._wired.setdefault(config.id, _Wired(named=True, links=links(record)))
            before = self._target(wired)
            wired.endpoints = endpoints
            if self._target(wired) != before:
                self._relay(wired)
            self._update_names()
            self._apply_firewall()
        if endpoints:
            self._serve_names(config.id, record)
        return endpoints

    def sockets(self, container_id: str) -> dict[str, list[int]]:
        """Return what the keeper has to hold once the container runs, besides its ports: key → descriptors."""
        found = self._dns.sockets(container_id)
        return {f"dns/{container_id}": [item.fileno() for item in found]} if found else {}

    def running(self, config: ContainerConfig, _runtime: RuntimeRecord) -> None:
        """Answer for the container's names from now on."""
        with self._lock:
            wired = self._wired.get(config.id)
            if wired is not None and not wired.waits:
                wired.named = True
                self._update_names()
        if wired is not None:
            self._tell_neighbours(wired.endpoints)

    def rename(self, container_id: str, old: str, new: str) -> tuple[EndpointRecord, ...]:
        """Answer for another name of a container, return its endpoints then; () when it doesn't run."""
        with self._lock:
            wired = self._wired.get(container_id)
            if wired is None:
                return ()
            wired.endpoints = tuple(
                replace(e, names=tuple(dict.fromkeys(new if name == old else name for name in e.names)))
                for e in wired.endpoints
            )
            self._update_names()
        self._tell_neighbours(wired.endpoints)
        return wired.endpoints

    def take_over(
        self, config: ContainerConfig, record: ServiceRecord, old_id: str
    ) -> tuple[tuple[PortBinding, ...], tuple[PortBinding, ...]]:
        """Lead names and published ports of one container to another one; return the ports of both, new one first.

        A host port that both want changes hands without ever being free. Raises PortInUse, NetworkError, and
        nothing has changed then.
        """
        with self._lock:
            wired, old = self._wired.get(config.id, _Wired()), self._wired.get(old_id, _Wired())
            kept = list(old.reservations)
            if record.publish:
                self._publish(config, record, wired, old.reservations)
            old.reservations = [item for item in kept if item not in wired.reservations]
            moved = {(item.host_port, item.protocol) for item in wired.reservations}
            old.ports = tuple(p for p in old.ports if (p.host_port, p.protocol) not in moved)
            self._hold_ports(old_id, old)
            wired.waits, wired.named, old.named = False, True, False
            self._apply_firewall()
            self._update_names()
        self._tell_neighbours((*wired.endpoints, *old.endpoints))
        return wired.ports, old.ports

    def silence(self, container_id: str) -> None:
        """Answer for the container's names no more, until it runs again."""
        with self._lock:
            wired = self._wired.get(container_id)
            if wired is not None:
                wired.named = False
                self._update_names()

    def disconnect(self, container_id: str) -> None:
        """Take a container off its networks and give its ports back; idempotent."""
        with self._lock:
            wired = self._wired.pop(container_id, None)
            if wired is not None:
                self._release_ports(container_id, wired)
                self._update_names()
                if wired.ports:
                    self._apply_firewall()
        self._dns.stop(container_id)
        if self.keeper is not None:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(f"dns/{container_id}")
        self._unwirings.do(container_id)
        if wired is not None:
            self._tell_neighbours(wired.endpoints)

    def _unwire(self, container_ids: Sequence[str]) -> Sequence[None]:
        """Remove wires. That waits for the kernel's grace period, for many links as long as for one."""
        self._networking.disconnect(*container_ids)
        return [None] * len(container_ids)

    # ------------------------------------------------------------------ coming back

    def adopt(self) -> None:
        """Take the project's networks over as an earlier supervisor has left them, perhaps half removed."""
        states = [
            self._networking.ensure_network(NetworkSpec(name=state.name, project=state.project))
            for state in self._networking.list_networks(self._project)
        ]
        with self._lock:
            self._states = {state.name: state for state in states}
            self._neighbours.look(self._states, self._wired)

    def resume(self, containers: Sequence[tuple[ContainerConfig, ServiceRecord, RuntimeRecord]]) -> None:
        """Take over what runs of an earlier supervisor: sockets from the keeper, names, ports.

        All names are known before the first question is answered. Raises NetworkError.
        """
        found: dict[str, tuple[ServiceRecord, _Wired]] = {}
        for config, record, runtime in containers:
            for endpoint in runtime.endpoints:
                self._refresh(record, endpoint.network)
            if runtime.endpoints:
                waits = bool(record.takes_over)
                found[config.id] = (
                    record,
                    _Wired(
                        endpoints=runtime.endpoints,
                        ports=runtime.ports,
                        named=not waits,
                        waits=waits,
                        links=links(record),
                    ),
                )
        if not found:
            return
        with self._lock:
            self._wired |= {container_id: wired for container_id, (_, wired) in found.items()}
            self._neighbours.look(self._states, self._wired)
            self._update_names()
            if self.keeper is not None:
                held = frozenset(self.keeper.held())
                for container_id, (record, wired) in found.items():
                    self._resume_sockets(self.keeper, held, container_id, record, wired)
            self._apply_firewall()

    def _resume_sockets(
        self,
        keeper: Engine,
        held: frozenset[str],
        container_id: str,
        record: ServiceRecord,
        wired: _Wired,
    ) -> None:
        if f"dns/{container_id}" in held:
            udp, tcp = (socket.socket(fileno=fd) for fd in keeper.take(f"dns/{container_id}"))
            self._answer(container_id, record, udp, tcp)
        else:
            self._serve_names(container_id, record)
        if not wired.ports:
            return
        from pycompose.networking.ports.reserve import adopt_reservations  # noqa: PLC0415 - only after a crash

        if f"ports/{container_id}" in held:
            fds = keeper.take(f"ports/{container_id}")
            wired.reservations = adopt_reservations([socket.socket(fileno=fd) for fd in fds])
        else:
            # The keeper was killed too. Until now the kernel's rules have kept the ports working.
            wired.reservations = reserve_again(wired.ports)
            self._hold_ports(container_id, wired)
        self._relay(wired)

    def drop_unknown(self) -> None:
        """Give back what the keeper holds for a start that was cut off before anything was written down."""
        if self.keeper is None:
            return
        with self._lock:
            for key in self.keeper.held():
                if key.partition("/")[2] not in self._wired:
                    self.keeper.drop(key)

    def hold_again(self) -> None:
        """Give a new keeper the sockets that the old one held."""
        with self._lock:
            for container_id, wired in self._wired.items():
                self._hold_ports(container_id, wired)
                for key, fds in self.sockets(container_id).items():
                    if self.keeper is not None:
                        self.keeper.hold(key, fds)

    def close(self) -> None:
        """Stop answering and relaying; the sockets themselves stay with the keeper."""
        self._dns.close()
        self._networking.close()
        with self._lock:
            for wired in self._wired.values():
                for reservation in wired.reservations:
                    reservation.close()

    # ------------------------------------------------------------------ names

    def _serve_names(self, container_id: str, record: ServiceRecord, *, hold: bool = True) -> None:
        if self._dns.serves(container_id):
            return
        udp, tcp = self._networking.dns_sockets(container_id)
        if hold and self.keeper is not None:
            self.keeper.hold(f"dns/{container_id}", [udp.fileno(), tcp.fileno()])
        self._answer(container_id, record, udp, tcp)

    def _answer(
        self, container_id: str, record: ServiceRecord, udp: socket.socket, tcp: socket.socket
    ) -> None:
        service = record.service
        ndots_set = any(option.startswith("ndots:") for option in service.dns_opt)
        self._dns.serve(container_id, udp, tcp, upstreams=service.dns, ndots_set=ndots_set)

    def refresh_neighbours(self) -> None:
        """Learn the names of other projects' containers on our networks; they tell us when to."""
        with self._lock:
            if self._neighbours.look(self._states, self._wired):
                self._update_names()

    def _tell_neighbours(self, endpoints: Sequence[EndpointRecord]) -> None:
        """Let the other projects know that one of our containers has come to, or left, a network they share."""
        with self._lock:
            shared = self._neighbours.share(endpoints, self._states.values())
        if shared:
            self.refresh_neighbours()
            self._neighbours.tell()

    def _update_names(self) -> None:
        containers = {key: (endpoints, True) for key, endpoints in self._neighbours.endpoints.items()}
        containers |= {key: (wired.endpoints, wired.named) for key, wired in self._wired.items()}
        linked = {key: wired.links for key, wired in self._wired.items() if wired.links}
        self._dns.update(dict(self._states), containers, linked)

    # ------------------------------------------------------------------ ports

    def _publish(
        self,
        config: ContainerConfig,
        record: ServiceRecord,
        wired: _Wired,
        others: Sequence[Reservation] = (),
    ) -> None:
        """Reserve the host ports, then hand them to the container; raises PortInUse, NetworkError.

        Those that one of `others` is a reservation of already are taken from there.
        """
        target = self._target(wired)
        if target is None or not record.service.ports:
            return
        from pycompose.networking.ports import reserve  # noqa: PLC0415 - most containers publish nothing

        published: list[PortBinding] = []
        free = list(others)
        try:
            for port in record.service.ports:
                host_ip = port.host_ip or self._states[target.network].host_binding
                host_ip = "" if host_ip == reserve.ANY4 else host_ip
                reservation = take_fitting(free, host_ip, port) or reserve.reserve_port(
                    host_ip, port.published, port.protocol
                )
                wired.reservations.append(reservation)
                published += [
                    PortBinding(
                        host_ip=address,
                        host_port=reservation.host_port,
                        protocol=port.protocol,
                        target=port.target,
                    )
                    for address in reservation.addresses
                ]
        except NetworkError as exc:
            for reservation in wired.reservations:
                if reservation not in others:
                    reservation.close()
            wired.reservations = []
            raise type(exc)(f"container {config.name}: {exc}", hint=exc.hint) from exc
        wired.ports = tuple(published)
        self._relay(wired)
        with self._lock:
            self._hold_ports(config.id, wired)
            self._apply_firewall()

    def _target(self, wired: _Wired) -> EndpointRecord | None:
        """Return the endpoint that published ports lead to: the first one with a way out."""
        return next((e for e in wired.endpoints if e.ip and not self._is_internal(e.network)), None)

    def _relay(self, wired: _Wired) -> None:
        """Serve the connections that the kernel can't redirect."""
        target = self._target(wired)
        for reservation in wired.reservations if target is not None else ():
            port = target_port(reservation, wired.ports)
            if target is not None and port:
                reservation.relay_to(self._loop, target.ip, port, ip6=target.ip6)

    def _hold_ports(self, container_id: str, wired: _Wired) -> None:
        fds = [fd for reservation in wired.reservations for fd in reservation.filenos()]
        if fds and self.keeper is not None:
            self.keeper.hold(f"ports/{container_id}", fds)

    def _release_ports(self, container_id: str, wired: _Wired, *, drop: bool = True) -> None:
        for reservation in wired.reservations:
            reservation.close()
        wired.reservations = []
        if self.keeper is not None and wired.ports and drop:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(f"ports/{container_id}")

    def _is_internal(self, network: str) -> bool:
        state = self._states.get(network)
        return state is not None and state.internal

    def _apply_firewall(self) -> None:
        """Replace the project's rules by what is true now; the caller holds the lock."""
        published: list[PublishedPort] = []
        for wired in self._wired.values():
            target = self._target(wired)
            for reservation in wired.reservations if target is not None else ():
                port = target_port(reservation, wired.ports)
                if target is not None and port:
                    published += reservation.published(target.ip, target.ip6, port)
        if not self._states:
            self._networking.remove_firewall(self._project)
            return
        for warning in self._networking.apply_firewall(self._project, list(self._states.values()), published):
            log.warning("%s", warning)

    # ------------------------------------------------------------------ endpoints

    def _refresh(self, record: ServiceRecord, network: str) -> None:
        """Make a network of other projects (an external one) known here, and one that has vanished again."""
        with self._lock:
            if network in self._states:
                return
        state = self._networking.inspect(network)
        if state is None:
            wanted = next((n for n in record.networks.values() if n.name == network), None)
            if wanted is None:
                raise NetworkError(f"network {network}: not found", hint="run `pycompose up` to create it")
            self.ensure_network(wanted)
            return
        with self._lock:
            self._states[network] = state
