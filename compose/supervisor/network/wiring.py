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
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError, PycomposeError
from pycompose.labels import CONFIG_HASH, NETWORK, PROJECT
from pycompose.networking.etc_files import upstreams
from pycompose.networking.model import NetworkSpec, Pool
from pycompose.policy.observed import EndpointRecord, ObservedResource, RuntimeRecord
from pycompose.supervisor.network import etc_files
from pycompose.supervisor.network.attached import (
    AttachedContainer,
    forwarded_ports,
    hand_over,
    published_endpoint,
)
from pycompose.supervisor.network.dns import DnsService
from pycompose.supervisor.network.endpoints import endpoint_spec, links
from pycompose.supervisor.network.other_projects import OtherProjects
from pycompose.supervisor.network.published_ports import reserve_again, reserve_ports, target_port

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
    from pycompose.policy.observed import PortBinding
    from pycompose.state.records import ServiceRecord

log = logging.getLogger(__name__)


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
        self._attached: dict[str, AttachedContainer] = {}
        self._states: dict[str, NetworkState] = {}
        self._dns = DnsService(loop, upstreams())
        self._others = OtherProjects(paths, project, networking)
        self._disconnections = Batcher(self._disconnect_all)
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
            etc_files.write_host(self._paths, config, record)
            return RuntimeRecord()
        if mode.startswith("container:"):
            etc_files.copy_from(self._paths, config, mode.removeprefix("container:"))
            return RuntimeRecord()
        endpoints = self._endpoints(config, record)
        etc_files.write_own(self._paths, config, record, endpoints)
        attached = AttachedContainer(
            endpoints=endpoints, links=links(record), standby=bool(record.takes_over)
        )
        with self._lock:
            old = self._attached.get(config.id, AttachedContainer())
            self._attached[config.id] = attached
            # It may ask before we hear that it runs: where it belongs has to be known by then.
            self._update_names()
        if endpoints:
            self._serve_names(config.id, record, hold=False)
        # A restart keeps its host ports: who is being cloned just now has copies of their sockets, so they aren't free.
        try:
            if record.publish and not attached.standby:
                self._publish(config, record, attached, old.reservations)
        finally:
            old.reservations = [item for item in old.reservations if item not in attached.reservations]
            if old.reservations:
                self._release_ports(config.id, old, drop=not attached.reservations)
        return RuntimeRecord(ports=attached.ports, endpoints=endpoints)

    def _endpoints(self, config: ContainerConfig, record: ServiceRecord) -> tuple[EndpointRecord, ...]:
        """Connect the container to the networks that it isn't on yet; return all its endpoints."""
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

    def reconnect(
        self, config: ContainerConfig, record: ServiceRecord, *, leaving: str = ""
    ) -> tuple[EndpointRecord, ...]:
        """Bring a running container onto the networks of `record`, and off the one it is `leaving`.

        Its published ports stay, and lead to the first address with a way out. Raises NetworkError.
        """
        if leaving:
            self._networking.leave(config.id, leaving)
        endpoints = self._endpoints(config, record)
        etc_files.write_own(self._paths, config, record, endpoints)
        with self._lock:
            attached = self._attached.setdefault(
                config.id, AttachedContainer(named=True, links=links(record))
            )
            before = published_endpoint(attached, self._states)
            attached.endpoints = endpoints
            if published_endpoint(attached, self._states) != before:
                self._relay(attached)
            self._update_names()
            self._apply_firewall()
        if endpoints:
            self._serve_names(config.id, record)
        return endpoints

    def sockets(self, container_id: str) -> dict[str, list[int]]:
        """Return what the keeper has to hold once the container runs, besides its ports: key → descriptors."""
        found = self._dns.sockets(container_id)
        return {f"dns/{container_id}": [item.fileno() for item in found]} if found else {}

    def answer_names(self, container_id: str) -> None:
        """Answer for the container's names from now on."""
        with self._lock:
            attached = self._attached.get(container_id)
            if attached is not None and not attached.standby:
                attached.named = True
                self._update_names()
        if attached is not None:
            self._notify_others(attached.endpoints)

    def rename(self, container_id: str, old: str, new: str) -> tuple[EndpointRecord, ...]:
        """Answer for another name of a container, return its endpoints then; () when it doesn't run."""
        with self._lock:
            attached = self._attached.get(container_id)
            if attached is None:
                return ()
            attached.endpoints = tuple(
                replace(e, names=tuple(dict.fromkeys(new if name == old else name for name in e.names)))
                for e in attached.endpoints
            )
            self._update_names()
        self._notify_others(attached.endpoints)
        return attached.endpoints

    def take_over(
        self, config: ContainerConfig, record: ServiceRecord, old_id: str
    ) -> tuple[tuple[PortBinding, ...], tuple[PortBinding, ...]]:
        """Lead names and published ports of one container to another one; return the ports of both, new one first.

        A host port that both want changes hands without ever being free. Raises PortInUse, NetworkError, and
        nothing has changed then.
        """
        with self._lock:
            attached = self._attached.get(config.id, AttachedContainer())
            old = self._attached.get(old_id, AttachedContainer())
            if record.publish:
                self._publish(config, record, attached, old.reservations)
            hand_over(old, attached)
            self._hold_ports(old_id, old)
            self._apply_firewall()
            self._update_names()
        self._notify_others((*attached.endpoints, *old.endpoints))
        return attached.ports, old.ports

    def withdraw_names(self, container_id: str) -> None:
        """Answer for the container's names no more, until it runs again."""
        with self._lock:
            attached = self._attached.get(container_id)
            if attached is not None:
                attached.named = False
                self._update_names()

    def disconnect(self, container_id: str) -> None:
        """Take a container off its networks and give its ports back; idempotent."""
        with self._lock:
            attached = self._attached.pop(container_id, None)
            if attached is not None:
                self._release_ports(container_id, attached)
                self._update_names()
                if attached.ports:
                    self._apply_firewall()
        self._dns.stop(container_id)
        if self.keeper is not None:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(f"dns/{container_id}")
        self._disconnections.do(container_id)
        if attached is not None:
            self._notify_others(attached.endpoints)

    def _disconnect_all(self, container_ids: Sequence[str]) -> Sequence[None]:
        """Take containers off their networks: the kernel's grace period is as long for many links as for one."""
        self._networking.disconnect(*container_ids)
        return [None] * len(container_ids)

    # ------------------------------------------------------------------ coming back

    def adopt_networks(self) -> None:
        """Take the project's networks over as an earlier supervisor has left them, perhaps half removed."""
        states = [
            self._networking.ensure_network(NetworkSpec(name=state.name, project=state.project))
            for state in self._networking.list_networks(self._project)
        ]
        with self._lock:
            self._states = {state.name: state for state in states}
            self._others.refresh(self._states, self._attached)

    def adopt_containers(
        self, containers: Sequence[tuple[ContainerConfig, ServiceRecord, RuntimeRecord]]
    ) -> None:
        """Take over what runs of an earlier supervisor: sockets from the keeper, names, ports.

        All names are known before the first question is answered. Raises NetworkError.
        """
        found: dict[str, tuple[ServiceRecord, AttachedContainer]] = {}
        for config, record, runtime in containers:
            for endpoint in runtime.endpoints:
                self._refresh(record, endpoint.network)
            if runtime.endpoints:
                waits = bool(record.takes_over)
                found[config.id] = (
                    record,
                    AttachedContainer(
                        endpoints=runtime.endpoints,
                        ports=runtime.ports,
                        named=not waits,
                        standby=waits,
                        links=links(record),
                    ),
                )
        if not found:
            return
        with self._lock:
            self._attached |= {container_id: attached for container_id, (_, attached) in found.items()}
            self._others.refresh(self._states, self._attached)
            self._update_names()
            if self.keeper is not None:
                held = frozenset(self.keeper.held())
                for container_id, (record, attached) in found.items():
                    self._resume_sockets(self.keeper, held, container_id, record, attached)
            self._apply_firewall()

    def _resume_sockets(
        self,
        keeper: Engine,
        held: frozenset[str],
        container_id: str,
        record: ServiceRecord,
        attached: AttachedContainer,
    ) -> None:
        if f"dns/{container_id}" in held:
            udp, tcp = (socket.socket(fileno=fd) for fd in keeper.take(f"dns/{container_id}"))
            self._answer(container_id, record, udp, tcp)
        else:
            self._serve_names(container_id, record)
        if not attached.ports:
            return
        from pycompose.networking.ports.reserve import adopt_reservations  # noqa: PLC0415 - only after a crash

        if f"ports/{container_id}" in held:
            fds = keeper.take(f"ports/{container_id}")
            attached.reservations = adopt_reservations([socket.socket(fileno=fd) for fd in fds])
        else:
            # The keeper was killed too. Until now the kernel's rules have kept the ports working.
            attached.reservations = reserve_again(attached.ports)
            self._hold_ports(container_id, attached)
        self._relay(attached)

    def release_unknown(self) -> None:
        """Give back what the keeper holds for a start that was cut off before anything was written down."""
        if self.keeper is None:
            return
        with self._lock:
            for key in self.keeper.held():
                if key.partition("/")[2] not in self._attached:
                    self.keeper.drop(key)

    def hold_sockets(self) -> None:
        """Give a new keeper the sockets that the old one held."""
        with self._lock:
            for container_id, attached in self._attached.items():
                self._hold_ports(container_id, attached)
                for key, fds in self.sockets(container_id).items():
                    if self.keeper is not None:
                        self.keeper.hold(key, fds)

    def close(self) -> None:
        """Stop answering and relaying; the sockets themselves stay with the keeper."""
        self._dns.close()
        self._networking.close()
        with self._lock:
            for attached in self._attached.values():
                for reservation in attached.reservations:
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

    def refresh_names(self) -> None:
        """Learn the names of other projects' containers on our networks; they tell us when to."""
        with self._lock:
            if self._others.refresh(self._states, self._attached):
                self._update_names()

    def _notify_others(self, endpoints: Sequence[EndpointRecord]) -> None:
        """Let the other projects know that one of our containers has come to, or left, a network they share."""
        with self._lock:
            shared = self._others.shares(endpoints, self._states.values())
        if shared:
            self.refresh_names()
            self._others.notify()

    def _update_names(self) -> None:
        containers = {key: (endpoints, True) for key, endpoints in self._others.endpoints.items()}
        containers |= {key: (attached.endpoints, attached.named) for key, attached in self._attached.items()}
        linked = {key: attached.links for key, attached in self._attached.items() if attached.links}
        self._dns.update(dict(self._states), containers, linked)

    # ------------------------------------------------------------------ ports

    def _publish(
        self,
        config: ContainerConfig,
        record: ServiceRecord,
        attached: AttachedContainer,
        others: Sequence[Reservation] = (),
    ) -> None:
        """Reserve the host ports, then hand them to the container; raises PortInUse, NetworkError.

        Those that one of `others` is a reservation of already are taken from there.
        """
        target = published_endpoint(attached, self._states)
        if target is None or not record.service.ports:
            return
        default_ip = self._states[target.network].host_binding
        try:
            attached.reservations, attached.ports = reserve_ports(record.service.ports, default_ip, others)
        except NetworkError as exc:
            raise type(exc)(f"container {config.name}: {exc}", hint=exc.hint) from exc
        self._relay(attached)
        with self._lock:
            self._hold_ports(config.id, attached)
            self._apply_firewall()

    def _relay(self, attached: AttachedContainer) -> None:
        """Serve the connections that the kernel can't redirect."""
        target = published_endpoint(attached, self._states)
        for reservation in attached.reservations if target is not None else ():
            port = target_port(reservation, attached.ports)
            if target is not None and port:
                reservation.relay_to(self._loop, target.ip, port, ip6=target.ip6)

    def _hold_ports(self, container_id: str, attached: AttachedContainer) -> None:
        fds = [fd for reservation in attached.reservations for fd in reservation.filenos()]
        if fds and self.keeper is not None:
            self.keeper.hold(f"ports/{container_id}", fds)

    def _release_ports(self, container_id: str, attached: AttachedContainer, *, drop: bool = True) -> None:
        for reservation in attached.reservations:
            reservation.close()
        attached.reservations = []
        if self.keeper is not None and attached.ports and drop:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(f"ports/{container_id}")

    def _apply_firewall(self) -> None:
        """Replace the project's rules by what is true now; the caller holds the lock."""
        if not self._states:
            self._networking.remove_firewall(self._project)
            return
        published = forwarded_ports(self._attached.values(), self._states)
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
