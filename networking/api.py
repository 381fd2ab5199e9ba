"""The facade: networks, the endpoints of containers, firewall. Synchronous, usable from any thread.

Every call is idempotent and leaves, when it fails or the process is killed, files from which the same call
again, or `cleanup`, gets to a clean end.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import threading
from typing import TYPE_CHECKING

from pycompose.engine.batching import Batcher
from pycompose.engine.errors import NetworkError
from pycompose.networking import cleanup, interfaces, ipam, leases, netns
from pycompose.networking.dns import sockets
from pycompose.networking.driver import driver_of
from pycompose.networking.endpoints import connect_all
from pycompose.networking.firewall import conntrack, forwarding, other_firewalls, rules
from pycompose.networking.model import (
    EndpointSpec,
    EndpointState,
    NetworkSpec,
    NetworkState,
    PublishedPort,
    check_name,
)
from pycompose.networking.netlink import rtnetlink
from pycompose.networking.netlink.nfnetlink import Netfilter
from pycompose.networking.records import NetworkRecord, NetworkRecords

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from pycompose.engine.paths import StatePaths

POOLS_VARIABLE = "PYCOMPOSE_ADDRESS_POOLS"

log = logging.getLogger(__name__)


class Networking:
    """All networks below one state root, in the network namespace of the calling threads."""

    def __init__(self, paths: StatePaths, *, pools: tuple[ipam.AddressPool, ...] | None = None) -> None:
        """`pools` are where subnets come from; by default PYCOMPOSE_ADDRESS_POOLS, else Docker's."""
        self.paths = paths
        self._records = NetworkRecords(paths)
        self._lock = threading.Lock()
        self._opened: Netfilter | None = None
        self._udp: dict[str, frozenset[PublishedPort]] = {}
        self._dns_sockets: dict[str, tuple[socket.socket, socket.socket]] = {}
        # A network's file grows with its containers: once for those that come at the same time.
        self._registrations = Batcher(self._register_all)
        text = os.environ.get(POOLS_VARIABLE, "")
        self._pools = pools or (ipam.parse_pools(text) if text else ipam.DEFAULT_POOLS)

    @staticmethod
    def prepare() -> None:
        """Import what the first network would import (about 25 ms CPU), on a thread to spare."""
        rtnetlink.preload()

    def close(self) -> None:
        """Close the socket to nftables; the next call that needs it opens another."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # networks

    def ensure_network(self, spec: NetworkSpec) -> NetworkState:
        """Return the network `spec.name`, created with what its driver needs if it is not there.

        One that exists is returned as it is (what is missing repaired), whatever its settings: comparing them is
        the caller's. Raises NetworkError, AddressesExhausted; an external network must exist.
        """
        check_name(spec.name)
        with self._records.locked():
            record = self._records.load(spec.name)
            if record is None:
                if spec.external:
                    raise NetworkError(
                        f"network {spec.name}: declared as external, but there is none of that name",
                        hint="start the project that owns it first, or remove `external: true`",
                    )
                driver = driver_of(spec)
                record = NetworkRecord(state=driver.new_state(spec, self._pools, self._taken()))
                driver.check_conflicts(record.state)
                self._records.save(record)
            driver = driver_of(record.state)
            driver.ensure(record.state)
            if driver.routed and not record.state.internal:
                forwarding.enable(self._netfilter(), self.paths.networks, ipv6=bool(record.state.subnet6))
        return record.state

    def inspect(self, name: str) -> NetworkState | None:
        """Return the network `name`, None when there is none."""
        record = self._records.load(check_name(name))
        return record.state if record else None

    def list_networks(self, project: str | None = None) -> list[NetworkState]:
        """Return all networks, or those of one project, by name."""
        states = [record.state for record in self._records.all()]
        return [state for state in states if project is None or state.project == project]

    def connected(self, name: str) -> frozenset[str]:
        """Return the ids of the containers that are connected to the network `name`."""
        record = self._records.load(check_name(name))
        return frozenset(record.attachments) if record else frozenset()

    def remove_network(self, name: str) -> None:
        """Remove a network with its bridge and leases; no error when there is none.

        Raises NetworkError while a container that exists is connected.
        """
        with self._records.locked():
            record = self._records.load(check_name(name))
            if record is None:
                return
            if living := [key for key in record.attachments if self._alive(key)]:
                names = ", ".join(sorted(record.attachments[key].lease_key for key in living))
                raise NetworkError(f"network {name}: remove: has active endpoints: {names}")
            links = [item.veth for item in record.attachments.values()]
            rtnetlink.delete_links([*links, *driver_of(record.state).links(record.state)])
            self._records.delete(name)
            self._restore_forwarding()

    # containers

    def connect(
        self, container_id: str, endpoints: Sequence[EndpointSpec], *, hostname: str = "", dns: bool = False
    ) -> list[EndpointState]:
        """Give the container a pinned namespace and an interface on each network; return the endpoints.

        The pin is paths.netns(id). With no endpoints there is only loopback. Interfaces are eth0… in the
        order of priority, then network name. With `dns`, `dns_sockets` will be asked for; a new namespace gets
        them on the way. Raises NetworkError; what was done stays for the next call, or for `disconnect`.
        """
        found = self._registrations.do((container_id, endpoints))
        log.debug(
            "connect %s (%s): %s", container_id[:12], hostname, ", ".join(one.network.name for one in found)
        )
        pin = self.paths.netns(container_id)
        pair = connect_all(pin, found, functools.partial(sockets.open_here, pin) if dns else None)
        if pair:
            self._dns_sockets[container_id] = pair
        return found

    def disconnect(self, *container_ids: str) -> None:
        """Remove the interfaces and the pinned namespaces of containers, if there are any; leases stay.

        Several at once take hardly longer than one: the kernel waits 15 to 40 ms for readers of what it
        deletes, once per request.
        """
        ours = set(container_ids)
        records = [record for record in self._records.all() if ours & record.attachments.keys()]
        links = [one.veth for record in records for key, one in record.attachments.items() if key in ours]
        rtnetlink.delete_links(links)
        for container_id in container_ids:
            for sock in self._dns_sockets.pop(container_id, ()):
                sock.close()
            netns.remove(self.paths.netns(container_id))
        if not records:
            return
        with self._records.locked():
            for name in [record.state.name for record in records]:
                if (record := self._records.load(name)) is not None:
                    for container_id in ours & record.attachments.keys():
                        leases.detach(record, container_id)
                    self._records.save(record)

    def leave(self, container_id: str, network: str) -> None:
        """Take a container off one network; its namespace, other interfaces and lease stay. No error when it isn't on.

        The container's default route may go with the interface; the next `connect` sets the one it has then.
        """
        with self._records.locked():
            record = self._records.load(check_name(network))
            if record is None or container_id not in record.attachments:
                return
            rtnetlink.delete_links([record.attachments[container_id].veth])
            leases.detach(record, container_id)
            self._records.save(record)

    def release(self, lease_key: str, network: str | None = None) -> None:
        """Forget the addresses of a lease key, on one network or on all; not while it is connected."""
        with self._records.locked():
            for record in self._records.all():
                if network in (None, record.state.name) and leases.release(record, lease_key):
                    self._records.save(record)

    def dns_sockets(self, container_id: str) -> tuple[socket.socket, socket.socket]:
        """Return UDP and TCP sockets inside the container's namespace: its 127.0.0.11:53.

        A second call makes new ones that replace the first. Raises NetworkError.
        """
        return self._dns_sockets.pop(container_id, None) or sockets.open_pair(self.paths.netns(container_id))

    # firewall

    def apply_firewall(
        self, project: str, networks: Sequence[NetworkState], published: Sequence[PublishedPort]
    ) -> tuple[str, ...]:
        """Replace the project's rules by those for `networks` and `published`, in one step.

        Returns warnings about other firewalls of the machine that will get in the way. Raises NetworkError.
        """
        netfilter = self._netfilter()
        routed = [state for state in networks if driver_of(state).routed]
        rules.apply(netfilter, project, routed, published)
        rules.allow_loopback(routed, published)
        udp = frozenset(port for port in published if port.protocol == "udp")
        if udp - self._udp.get(project, frozenset()):  # looking through all flows takes the kernel 10 ms
            conntrack.delete_stale_flows(netfilter, published)
        self._udp[project] = udp
        return other_firewalls.warnings(netfilter)

    def remove_firewall(self, project: str) -> None:
        """Remove the project's rules; no error when there are none."""
        rules.remove(self._netfilter(), project)
        self._udp.pop(project, None)

    # whatever is left

    def cleanup(self, project: str, container_ids: Sequence[str] = ()) -> None:
        """Remove everything of a project whose containers are gone: by files, and by names in the kernel.

        `container_ids` adds containers that had no network (network_mode none). Raises ExceptionGroup.
        """
        try:
            cleanup.remove_project(self, self._records, project, container_ids)
        finally:
            with self._records.locked():
                self._records.remove_partial_files()
                self._restore_forwarding()

    # helpers

    def _netfilter(self) -> Netfilter:
        """Return the one socket to nftables, opened by whoever needs it first."""
        with self._lock:
            if self._opened is None:
                self._opened = Netfilter()
            return self._opened

    def _restore_forwarding(self) -> None:
        """Stop being a router if the last network is gone; the caller holds the lock."""
        if not self._records.all():
            forwarding.restore(self._netfilter(), self.paths.networks)

    def _taken(self) -> list[ipam.Network]:
        subnets = [
            ipaddress.ip_network(text)
            for record in self._records.all()
            for text in (record.state.subnet, record.state.subnet6)
            if text
        ]
        with rtnetlink.Netlink() as kernel:
            return [*subnets, *kernel.routes()]

    def _alive(self, container_id: str) -> bool:
        """Tell whether a container's directory or its namespace is there."""
        return self.paths.container(container_id).exists() or netns.is_pinned(self.paths.netns(container_id))

    def _register_all(
        self, wanted: Sequence[tuple[str, Sequence[EndpointSpec]]]
    ) -> list[list[EndpointState]]:
        """Write leases and attachments of containers down; nothing is written when one of them can't get theirs."""
        known: dict[str, NetworkRecord] = {}
        changed: dict[str, NetworkRecord] = {}
        with self._records.locked():
            found = [
                self._register(container_id, endpoints, known, changed) for container_id, endpoints in wanted
            ]
            for record in changed.values():
                self._records.save(record)
        return found

    def _register(
        self,
        container_id: str,
        endpoints: Sequence[EndpointSpec],
        known: dict[str, NetworkRecord],
        changed: dict[str, NetworkRecord],
    ) -> list[EndpointState]:
        """Enter one container into the records of its networks: `known` once read, `changed` to be written."""
        ordered = sorted(endpoints, key=lambda spec: (-spec.priority, spec.network))
        records: list[tuple[EndpointSpec, NetworkRecord]] = []
        for spec in ordered:
            record = known.get(spec.network) or self._records.load(check_name(spec.network))
            if record is None:
                raise NetworkError(f"network {spec.network}: connect {container_id[:12]}: no such network")
            known[spec.network] = record
            records.append((spec, record))
        connected = []
        for (spec, record), name in zip(records, interfaces.choose_names(container_id, records), strict=True):
            attachment = record.attachments.get(container_id)
            if attachment is None:
                leases.grant(record, spec, container_id, self._alive)
                link = driver_of(record.state).link_name(container_id, record.state.name)
                attachment = leases.attach(record, container_id, spec, veth=link, interface=name)
                changed[spec.network] = record
            connected.append((spec, EndpointState(network=record.state, attachment=attachment)))
        return interfaces.choose_gateways(connected)
