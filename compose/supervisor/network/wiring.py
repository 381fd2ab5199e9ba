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
from pycompose.engine.errors import NetworkError, NetworkInUse, PycomposeError
from pycompose.labels import CONFIG_HASH, NETWORK
from pycompose.networking.etc_files import upstreams
from pycompose.networking.model import DEFAULT_BRIDGE, NetworkSpec
from pycompose.policy.observed import EndpointRecord, ObservedResource, RuntimeRecord
from pycompose.state import hosts_file
from pycompose.state.networks import network_spec
from pycompose.state.snapshot import read_container
from pycompose.state.users import network_users
from pycompose.supervisor.network import etc_files
from pycompose.supervisor.network.attached import (
    AttachedContainer,
    forwarded_ports,
    hand_over,
    published_endpoint,
)
from pycompose.supervisor.network.dns import DnsService
from pycompose.supervisor.network.endpoints import endpoint_specs, links
from pycompose.supervisor.network.other_projects import OtherProjects
from pycompose.supervisor.network.publishing import Publishing
from pycompose.supervisor.network.repairs import Repairs

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from pycompose.engine.api import Engine
    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Network
    from pycompose.networking.api import Networking
    from pycompose.networking.model import NetworkState
    from pycompose.policy.observed import PortBinding
    from pycompose.state.records import ServiceRecord
    from pycompose.supervisor.network.repairs import Expected

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
        # Whom we have taken off all networks, and nobody has connected since.
        self._clear: set[str] = set()
        self._states: dict[str, NetworkState] = {}
        self._dns = DnsService(loop, upstreams())
        self._others = OtherProjects(paths, project, networking)
        self._disconnections = Batcher(self._disconnect_all)
        self._opened = paths.project_run(project) / "firewall.json"
        # The rules of all networks are one table: made once for those that come or go at the same time.
        self._rules = Batcher(self._apply_for)
        self._repairs = Repairs(loop, networking, project, self._expected, self._apply_again)
        self._ports = Publishing(paths, loop)

    @property
    def keeper(self) -> Engine | None:
        """Who holds sockets that are to outlive us, once there is one."""
        return self._ports.keeper

    @keeper.setter
    def keeper(self, keeper: Engine | None) -> None:
        self._ports.keeper = keeper

    # ------------------------------------------------------------------ networks

    def observed_networks(self) -> dict[str, ObservedResource]:
        """Return all networks of the machine, by name."""
        return {
            state.name: ObservedResource(
                made_from=state.labels.get(CONFIG_HASH, ""),
                project=state.project,
                key=state.labels.get(NETWORK, ""),
            )
            for state in self._networking.list_networks()
        }

    def own_networks(self) -> list[str]:
        """Return the names of the networks that this project has made."""
        return [state.name for state in self._networking.list_networks(self._project)]

    def ensure_networks(self, networks: Sequence[Network]) -> list[list[str]]:
        """Create networks of the project that don't exist, return the warnings about each; raises NetworkError."""
        for network in networks:
            if network.key == f":{network.name}" and network.name != DEFAULT_BRIDGE:
                self._check_named(network.name)
        specs = [network_spec(self._project, network) for network in networks]
        warnings = [self._networking.overlapping_routes(spec) if spec.pools else [] for spec in specs]
        states = self._networking.ensure_networks(specs)
        with self._lock:
            self._states |= {state.name: state for state in states}
        self._rules.do(None)
        return warnings

    def _check_named(self, name: str) -> None:
        """Raise NetworkError unless there is the network that a `network_mode` names."""
        if self._networking.inspect(name) is None:
            raise NetworkError(
                f"network {name}: not found",
                hint="network_mode: is host, none, bridge, service:NAME, container:NAME, or a network that exists: "
                f"pycompose network create {name}",
            )

    def remove_networks(self, names: Sequence[str]) -> list[None]:
        """Remove networks; raises NetworkError while one of them is in use, which names the containers."""
        try:
            self._networking.remove_networks(names)
        except NetworkInUse as exc:
            raise self._in_use(names) or exc from None
        with self._lock:
            for name in names:
                self._states.pop(name, None)
        self._rules.do(None)
        return [None] * len(names)

    def _in_use(self, names: Sequence[str]) -> NetworkInUse | None:
        """Return what to say of the first of the networks that containers are on."""
        for name in names:
            found = (read_container(self._paths, key) for key in self._networking.connected(name))
            if users := sorted(container.name for container in found if container is not None):
                return NetworkInUse(f"network {name}: in use by {', '.join(users)}")
        return None

    def remove_all(self) -> None:
        """Remove the firewall table and whatever a killed predecessor has left of the project's network."""
        with self._lock:
            self._states.clear()
            self._networking.cleanup(self._project)
            self._networking.remove_firewall(self._project)
            if self._networking.inspect(DEFAULT_BRIDGE) and DEFAULT_BRIDGE not in network_users(self._paths):
                self._networking.remove_unused(DEFAULT_BRIDGE)
            self._networking.close_firewalls(self._opened)

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
        # Whatever fails from here on may have left it on a network.
        self._clear.discard(config.id)
        endpoints = self._endpoints(config, record)
        etc_files.write_own(self._paths, config, record, endpoints, self._machines_addresses(endpoints))
        attached = AttachedContainer(
            endpoints=endpoints,
            links=links(self._project, record),
            standby=bool(record.takes_over),
            specs=endpoint_specs(config, record),
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
                self._publish(config, record, attached, old)
                if attached.reservations or attached.opened:
                    self._rules.do(None)
        finally:
            old.reservations = [item for item in old.reservations if item not in attached.reservations]
            if old.reservations:
                self._ports.release(config.id, old, drop=not attached.reservations)
        # Where no way leads out, Docker shows none.
        exposed = record.exposed if published_endpoint(attached, self._states) else ()
        return RuntimeRecord(ports=attached.ports, endpoints=endpoints, exposed=exposed)

    def _publish(
        self,
        config: ContainerConfig,
        record: ServiceRecord,
        attached: AttachedContainer,
        old: AttachedContainer,
    ) -> None:
        self._ports.publish(config, record, attached, self._states, old.reservations)
        with self._lock:
            self._ports.hold(config.id, attached)

    def _endpoints(self, config: ContainerConfig, record: ServiceRecord) -> tuple[EndpointRecord, ...]:
        """Connect the container to the networks that it isn't on yet; return all its endpoints."""
        specs = endpoint_specs(config, record)
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
                gateway="" if state.network.parent else state.gateway,
                names=names[state.network.name],
            )
            for state in states
        )

    def _machines_addresses(self, endpoints: Sequence[EndpointRecord]) -> list[str]:
        """Return this machine's addresses on the container's networks: those with a way out, else internal ones."""
        out = [endpoint.gateway for endpoint in endpoints if endpoint.gateway]
        with self._lock:
            found = (self._states.get(endpoint.network) for endpoint in endpoints)
            return out or [
                address
                for state in found
                for address, _subnet in (state.router_addresses if state else ())
                if ":" not in address
            ]

    def reconnect(
        self, config: ContainerConfig, record: ServiceRecord, *, leaving: str = ""
    ) -> tuple[EndpointRecord, ...]:
        """Bring a running container onto the networks of `record`, and off the one it is `leaving`.

        Its published ports stay, and lead to the first address with a way out. Other projects read where it is from
        its record: `notify_others` comes after that is written. Raises NetworkError.
        """
        with self._lock:
            attached = self._attached.setdefault(config.id, AttachedContainer(named=True))
            known = attached.links, attached.specs
            attached.links = links(self._project, record)
            attached.specs = endpoint_specs(config, record)
        if leaving:
            self._networking.leave(config.id, leaving)
        try:
            endpoints = self._endpoints(config, record)
            etc_files.write_own(self._paths, config, record, endpoints, self._machines_addresses(endpoints))
        except NetworkError:
            joined = {spec.network for spec in attached.specs} - {each.network for each in attached.endpoints}
            for network in joined:
                self._networking.leave(config.id, network)
            with self._lock:
                attached.links, attached.specs = known
            raise
        with self._lock:
            before = published_endpoint(attached, self._states)
            attached.endpoints = endpoints
            if published_endpoint(attached, self._states) != before:
                self._ports.redirect(record, attached, self._states)
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
            self.notify_others(attached.endpoints)

    def rename(self, container_id: str, old: str, new: str) -> tuple[EndpointRecord, ...]:
        """Answer for another name of a container, return its endpoints then; () when it doesn't run.

        Other projects read them from its record: `notify_others` comes after that is written.
        """
        with self._lock:
            attached = self._attached.get(container_id)
            if attached is None:
                return ()
            attached.endpoints = tuple(
                replace(e, names=tuple(dict.fromkeys(new if name == old else name for name in e.names)))
                for e in attached.endpoints
            )
            self._update_names()
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
                self._publish(config, record, attached, old)
            hand_over(old, attached)
            self._ports.hold(old_id, old)
            self._apply_firewall()
            self._update_names()
        self.notify_others((*attached.endpoints, *old.endpoints))
        return attached.ports, old.ports

    def withdraw_names(self, container_id: str) -> None:
        """Answer for the container's names no more, until it runs again."""
        with self._lock:
            attached = self._attached.get(container_id)
            if attached is not None:
                attached.named = False
                self._update_names()

    def disconnect(self, *container_ids: str) -> None:
        """Take containers off their networks and give their ports back; idempotent.

        Many take hardly longer than one: the kernel's grace period for links, and the rules, are done once for all.
        """
        with self._lock:
            found = {key: self._attached.pop(key) for key in container_ids if key in self._attached}
            left = [key for key in container_ids if key not in self._clear]
            for container_id, attached in found.items():
                self._ports.release(container_id, attached)
            if found:
                self._update_names()
        if any(attached.ports or attached.opened for attached in found.values()):
            self._rules.do(None)
        for container_id in left:
            self._dns.stop(container_id)
        if left:
            self._disconnections.do(left)
        # While the kernel deletes links the keeper reaps those that have ended, and hears of this later.
        if self.keeper is not None and left:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(*(f"dns/{container_id}" for container_id in left))
        self._clear.update(left)
        self.notify_others([endpoint for attached in found.values() for endpoint in attached.endpoints])

    def forget(self, *container_ids: str) -> None:
        """Take containers off their networks for the last time."""
        self.disconnect(*container_ids)
        self._clear.difference_update(container_ids)

    def _disconnect_all(self, groups: Sequence[Sequence[str]]) -> Sequence[None]:
        self._networking.disconnect(*(container_id for group in groups for container_id in group))
        return [None] * len(groups)

    # ------------------------------------------------------------------ coming back

    def adopt_networks(self) -> None:
        """Take the project's networks over as an earlier supervisor has left them, perhaps half removed."""
        states = []
        for state in self._networking.list_networks(self._project):
            try:
                spec = NetworkSpec(name=state.name, project=state.project)
                states.append(self._networking.ensure_network(spec))
            except NetworkError as exc:  # whoever wants to take the project down has to be able to
                log.warning("cannot restore what somebody else has removed: %s", exc)
                states.append(state)
        with self._lock:
            self._states = {state.name: state for state in states}
            if states:
                self._networking.repair_forwarding()
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
                        links=links(self._project, record),
                        specs=endpoint_specs(config, record),
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
        self._ports.resume(container_id, record, attached, self._states, held)

    def release_unknown(self) -> None:
        """Give back what the keeper holds for a start that was cut off before anything was written down."""
        if self.keeper is None:
            return
        with self._lock:
            for key in self.keeper.held():
                kind, _, container_id = key.partition("/")
                if kind != "api" and container_id not in self._attached:
                    self.keeper.drop(key)

    def hold_sockets(self) -> None:
        """Give a new keeper the sockets that the old one held."""
        with self._lock:
            for container_id, attached in self._attached.items():
                self._ports.hold(container_id, attached)
                for key, fds in self.sockets(container_id).items():
                    if self.keeper is not None:
                        self.keeper.hold(key, fds)

    def close(self) -> None:
        """Stop answering and relaying; the sockets themselves stay with the keeper."""
        self._repairs.close()
        self._dns.close()
        self._networking.close()
        with self._lock:
            for attached in self._attached.values():
                for reservation in attached.reservations:
                    reservation.close()
            self._ports.close()

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

    def notify_others(self, endpoints: Sequence[EndpointRecord]) -> None:
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
        if hosts_file.is_enabled(self._paths, self._project):
            named = [attached.endpoints for attached in self._attached.values() if attached.named]
            hosts_file.refresh(self._paths, self._project, named)

    # ------------------------------------------------------------------ rules

    def _apply_firewall(self) -> None:
        """Replace the project's rules by what is true now; the caller holds the lock."""
        if not self._states:
            self._networking.remove_firewall(self._project)
            return
        self._repairs.start()
        published = forwarded_ports(self._attached.values(), self._states)
        opened = [port for attached in self._attached.values() for port in attached.opened]
        self._networking.apply_firewall(self._project, list(self._states.values()), published, opened)

    def idle_ports(self) -> tuple[str, ...]:
        """Return warnings about ports of services that are published nowhere."""
        with self._lock:
            return tuple(dict.fromkeys(text for one in self._attached.values() for text in one.idle))

    def check_firewalls(self, *, open_them: bool) -> tuple[str, ...]:
        """Return warnings about other firewalls that get in the way, opened first if that is asked for and safe.

        Loopback addresses lead to containers again, of which the kernel doesn't tell when somebody has switched it off
        (`sysctl --system`). Raises NetworkError.
        """
        with self._lock:
            routed = [state for state in self._states.values() if state.routed_out]
            published = forwarded_ports(self._attached.values(), self._states)
        if not routed:
            return ()
        self._networking.allow_loopback(routed, published)
        if open_them:
            return self._networking.open_firewalls(self._project, routed, self._opened)
        return self._networking.other_firewalls()

    def _apply_for(self, asked: Sequence[None]) -> Sequence[None]:
        self._apply_again()
        return asked

    def _apply_again(self) -> None:
        with self._lock:
            self._apply_firewall()

    def _expected(self) -> Expected:
        with self._lock:
            return dict(self._states), dict(self._attached)

    # ------------------------------------------------------------------ endpoints

    def _refresh(self, record: ServiceRecord, network: str) -> None:
        """Make a network of other projects (an external one) known here, and one that has vanished again."""
        with self._lock:
            if network in self._states and network != DEFAULT_BRIDGE:
                return
        state = self._networking.inspect(network)
        # The default one has no owner: whoever uses it looks after it, and the last one takes it away.
        if state is None or network == DEFAULT_BRIDGE:
            wanted = next((n for n in record.networks.values() if n.name == network), None)
            if wanted is None or (wanted.external and network != DEFAULT_BRIDGE):
                raise NetworkError(
                    f"network {network}: no such network",
                    hint="`pycompose up` makes a project's own, `pycompose network create` any other",
                )
            self.ensure_networks([wanted])
            return
        with self._lock:
            self._states[network] = state
