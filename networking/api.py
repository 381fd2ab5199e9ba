"""The facade: networks, the endpoints of containers, firewall. Synchronous, usable from any thread.

Every call is idempotent and leaves, when it fails or the process is killed, files from which the same call
again, or `cleanup`, gets to a clean end.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import threading
from typing import TYPE_CHECKING

from pycompose.engine import journal
from pycompose.engine.batching import Batcher
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import AlreadyExists, NetworkError, NetworkInUse
from pycompose.engine.paths import BUILDS
from pycompose.networking import interfaces, ipam, leases, netns
from pycompose.networking.driver import check, driver_of
from pycompose.networking.endpoints import connect_all
from pycompose.networking.firewall import forwarding, rules
from pycompose.networking.model import (
    DEFAULT_BRIDGE,
    PREDEFINED,
    EndpointSpec,
    EndpointState,
    NetworkSpec,
    NetworkState,
    OpenPort,
    PublishedPort,
    check_name,
    predefined_id,
)
from pycompose.networking.netlink import rtnetlink
from pycompose.networking.netlink.nfnetlink import Netfilter
from pycompose.networking.records import NetworkRecord, NetworkRecords
from pycompose.networking.subnet_memory import SubnetMemory

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from pycompose.engine.paths import StatePaths
    from pycompose.networking.netlink.watch import DeletionWatch

POOLS_VARIABLE = "PYCOMPOSE_ADDRESS_POOLS"


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
        self._creations = Batcher(self._ensure_all)
        self._removals = Batcher(self._remove_all)
        text = os.environ.get(POOLS_VARIABLE, "")
        self._pools = pools or (ipam.parse_pools(text) if text else ipam.DEFAULT_POOLS)

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
        return self._creations.do(spec)

    def create_network(self, spec: NetworkSpec) -> NetworkState:
        """Make a network as `ensure_network` does; raises AlreadyExists when there is one of that name.

        Nothing of it is left when that fails.
        """
        check_name(spec.name)
        return self._ensure_all([spec], new=True)[0]

    def ensure_networks(self, specs: Sequence[NetworkSpec]) -> list[NetworkState]:
        """Do for several what `ensure_network` does for one; what an error leaves of them can be asked for again."""
        for spec in specs:
            check_name(spec.name)
        return self._ensure_all(specs)

    def _ensure_all(self, specs: Sequence[NetworkSpec], *, new: bool = False) -> list[NetworkState]:
        """Make networks that come at the same time; what others have is looked up once for all of them.

        With `new`, one that is there raises AlreadyExists, and one that can't be made is taken away.
        """
        found = []
        with self._records.locked(), contextlib.ExitStack() as stack:
            taken: Taken | None = None
            for spec in specs:
                if spec.name in PREDEFINED and spec.name != DEFAULT_BRIDGE:
                    raise NetworkError(
                        f"network {spec.name}: is a pre-defined network, nobody can be connected to it",
                        hint=f"for a service: network_mode: {spec.name}",
                    )
                record = self._records.load(spec.name)
                if record is not None and new:
                    raise AlreadyExists(
                        f"network {spec.name}: already exists", hint="see: pycompose network ls"
                    )
                if record is None:
                    if spec.external:
                        raise NetworkError(
                            f"network {spec.name}: declared as external, but there is none of that name",
                            hint="start the project that owns it first, or remove `external: true`",
                        )
                    if taken is None:
                        taken = self._taken()
                        stack.callback(taken.memory.save)
                    record = self._make(spec, taken)
                    taken.add(spec, record.state)
                try:
                    self._ensure_made(record.state)
                except BaseException:
                    if new:
                        self._take_away([record])
                    raise
                found.append(record.state)
        return found

    def _ensure_made(self, state: NetworkState) -> None:
        """Make what the kernel has to have for a network, or what is missing of it."""
        driver = driver_of(state)
        driver.ensure(state)
        if driver.routed and not state.internal:
            forwarding.enable(self._netfilter(), self.paths.networks, ipv6=bool(state.subnet6))

    def _make(self, spec: NetworkSpec, taken: Taken) -> NetworkRecord:
        check(spec)
        driver = driver_of(spec)
        state = driver.new_state(spec, taken.space(spec, self._pools))
        if spec.name == DEFAULT_BRIDGE:
            state = replace(state, id=predefined_id(self.paths.root, spec.name))
        record = NetworkRecord(state=state)
        driver.check_conflicts(record.state)
        self._records.save(record)
        self._note("create", record.state)
        return record

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

        Raises NetworkInUse while a container that exists is connected.
        """
        self._removals.do(check_name(name))

    def remove_networks(self, names: Sequence[str]) -> None:
        """Do for several what `remove_network` does for one; none is removed while one of them is in use."""
        self._remove_all([check_name(name) for name in names])

    def _remove_all(self, names: Sequence[str]) -> list[None]:
        """Remove networks: the kernel's grace period is as long for many links as for one."""
        with self._records.locked():
            records = [record for name in names if (record := self._records.load(name)) is not None]
            for record in records:
                name = record.state.name
                if living := [key for key in record.attachments if self._alive(key)]:
                    keys = ", ".join(sorted(record.attachments[key].lease_key for key in living))
                    raise NetworkInUse(f"network {name}: remove: has active endpoints: {keys}")
            self._take_away(records)
        return [None] * len(names)

    def _take_away(self, records: Sequence[NetworkRecord]) -> None:
        """Remove networks with what is left of connections to them; the caller holds the lock."""
        if not records:
            return
        links: list[str] = []
        for record in records:
            links += [item.veth for item in record.attachments.values()]
            links += driver_of(record.state).links(record.state)
        self._restore_forwarding({record.state.name for record in records})
        rtnetlink.delete_links(links)
        for record in records:
            self._records.delete(record.state.name)
            self._note("destroy", record.state)

    def remove_unused(self, name: str) -> bool:
        """Remove a network that nobody is connected to; tell whether there was one."""
        with self._records.locked():
            record = self._records.load(check_name(name))
            if record is None or any(self._alive(key) for key in record.attachments):
                return False
            self._take_away([record])
            return True

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
        import logging  # noqa: PLC0415 - 6 ms; networks without containers say nothing

        logging.getLogger(__name__).debug(
            "connect %s (%s): %s", container_id[:12], hostname, ", ".join(one.network.name for one in found)
        )
        from pycompose.networking.dns import sockets  # noqa: PLC0415 - for containers only

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
                        self._note("disconnect", record.state, container_id)
                    self._records.save(record)
                    if not record.attachments:
                        rules.forbid_loopback(record.state)

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
            self._note("disconnect", record.state, container_id)

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
        from pycompose.networking.dns import sockets  # noqa: PLC0415 - for containers only

        return self._dns_sockets.pop(container_id, None) or sockets.open_pair(self.paths.netns(container_id))

    # firewall

    def apply_firewall(
        self,
        project: str,
        networks: Sequence[NetworkState],
        published: Sequence[PublishedPort],
        opened: Sequence[OpenPort] = (),
    ) -> None:
        """Replace the project's rules by those for its networks and ports, in one step. Raises NetworkError."""
        netfilter = self._netfilter()
        routed = [state for state in networks if driver_of(state).routed]
        rules.apply(netfilter, project, routed, published, opened)
        self.allow_loopback(routed, published)
        udp = frozenset(port for port in published if port.protocol == "udp")
        if udp - self._udp.get(project, frozenset()):  # looking through all flows takes the kernel 10 ms
            from pycompose.networking.firewall import conntrack  # noqa: PLC0415 - few ports are UDP

            conntrack.delete_stale_flows(netfilter, published)
        self._udp[project] = udp

    def allow_loopback(self, networks: Sequence[NetworkState], published: Sequence[PublishedPort]) -> None:
        """Let ports that are published on 127.0.0.1 lead to containers; after `apply_firewall`. Raises NetworkError."""
        rules.allow_loopback(networks, published)

    def other_firewalls(self) -> tuple[str, ...]:
        """Return warnings about other firewalls of the machine that get in the way of containers."""
        from pycompose.networking.firewall import other_firewalls  # noqa: PLC0415 - for `up` only

        return other_firewalls.warnings(self._netfilter())

    def open_firewalls(self, project: str, networks: Sequence[NetworkState], record: Path) -> tuple[str, ...]:
        """Have those let the project's networks through where that is safe; `record` is for `close_firewalls`.

        Returns a sentence for each that stays closed. Raises NetworkError.
        """
        from pycompose.networking.firewall import opening, other_firewalls  # noqa: PLC0415 - when asked to

        chains = other_firewalls.dropping_chains(self._netfilter())
        bridges = [link for state in networks for link in driver_of(state).links(state)]
        return opening.open_for(chains, project, bridges, record)

    @staticmethod
    def close_firewalls(record: Path) -> None:
        """Take back what `open_firewalls` has done."""
        if record.exists():
            from pycompose.networking.firewall import opening  # noqa: PLC0415 - few firewalls are opened

            opening.close(record)

    def watch_deletions(self) -> DeletionWatch:
        """Return what hears of others' deletions of our tables, links and routes. Raises OSError."""
        from pycompose.networking.netlink.watch import DeletionWatch  # noqa: PLC0415 - for supervisors only

        return DeletionWatch(rules.PREFIX, self._netfilter().port)

    def repair(self, networks: Iterable[str], containers: Mapping[str, Sequence[EndpointSpec]]) -> list[str]:
        """Make again what is missing of networks, and of containers' places on them; return what that was.

        Those that have been removed stay so. Raises NetworkError.
        """
        from pycompose.networking import repair  # noqa: PLC0415 - few networks are broken

        found = []
        with self._records.locked():
            for name in networks:
                if (record := self._records.load(name)) is not None:
                    found += [f"network {name}: {what}" for what in repair.repair_network(record.state)]
        for container_id, specs in containers.items():
            broken = repair.repair_container(
                self._records, self.paths.netns(container_id), container_id, specs
            )
            found += [f"container {container_id[:12]}: {what}" for what in broken]
        return found

    def repair_forwarding(self) -> list[str]:
        """Make the table of forwarding.py again where it is gone, and route where that is off; return what that was.

        Raises NetworkError.
        """
        with self._records.locked():
            states = [record.state for record in self._records.all()]
            routed = [state for state in states if driver_of(state).routed and not state.internal]
            ipv6 = any(state.subnet6 for state in routed)
            found = []
            if forwarding.repair(self._netfilter(), self.paths.networks):
                found.append("the table that lets only containers be routed")
            if routed and forwarding.enable(self._netfilter(), self.paths.networks, ipv6=ipv6):
                found.append("the routing of the machine (ip_forward)")
            return found

    def remove_firewall(self, project: str) -> None:
        """Remove the project's rules; no error when there are none."""
        rules.remove(self._netfilter(), project)
        self._udp.pop(project, None)

    # whatever is left

    def cleanup(self, project: str, container_ids: Sequence[str] = ()) -> None:
        """Remove everything of a project whose containers are gone: by files, and by names in the kernel.

        `container_ids` adds containers that had no network (network_mode none). Raises ExceptionGroup.
        """
        from pycompose.networking import cleanup  # noqa: PLC0415 - the end of a project

        try:
            cleanup.remove_project(self, self._records, project, container_ids)
        finally:
            with self._records.locked():
                self._records.remove_partial_files()
                self._restore_forwarding()

    # helpers

    def _note(self, action: str, state: NetworkState, container_id: str = "") -> None:
        """Have everybody told what has happened to a network; those of builds are nobody's business."""
        if not state.project.startswith(BUILDS):
            who = {"container": container_id} if container_id else {}
            journal.record(
                self.paths, "network", action, state.id, {**who, "name": state.name, "type": state.driver}
            )

    def _netfilter(self) -> Netfilter:
        """Return the one socket to nftables, opened by whoever needs it first."""
        with self._lock:
            if self._opened is None:
                self._opened = Netfilter()
            return self._opened

    def _restore_forwarding(self, going: Collection[str] = ()) -> None:
        """Stop being a router if there is no network but those that are `going`; the caller holds the lock.

        Before their links go: a table's end takes the kernel 10 ms, for which the socket waits when it is closed, and
        which pass meanwhile.
        """
        if not set(self._records.names()).difference(going):
            forwarding.restore(self._netfilter(), self.paths.networks)

    def overlapping_routes(self, spec: NetworkSpec) -> list[str]:
        """Return a sentence for each route of the machine that overlaps a subnet which the user has chosen."""
        with rtnetlink.Netlink() as kernel:
            found = list(ipam.overlaps(ipam.chosen(spec.pools), kernel.routes()))
        return [
            f"network {spec.name}: subnet {subnet} overlaps the route to {route}: who is there can't be reached "
            "from this machine where both have the address"
            for subnet, route in found
            if subnet != route
        ]

    def _taken(self) -> Taken:
        """Return what a new network must not overlap."""
        subnets = [net for record in self._records.all() for net in _subnets(record.state)]
        with rtnetlink.Netlink() as kernel:
            return Taken(subnets=subnets, routes=kernel.routes(), memory=SubnetMemory(self.paths.subnets))

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
                self._note("connect", record.state, container_id)
            state = EndpointState(
                network=record.state,
                attachment=attachment,
                link_local=ipam.check_link_local(record.state.name, spec.link_local_ips),
                sysctls=spec.sysctls,
            )
            connected.append((spec, state))
        return interfaces.choose_gateways(connected)


@dataclass(slots=True)
class Taken:
    """The subnets of networks that exist, and the routes of the machine."""

    subnets: list[ipam.Network]
    routes: list[ipam.Network]
    memory: SubnetMemory

    def space(self, spec: NetworkSpec, pools: Sequence[ipam.AddressPool]) -> ipam.AddressSpace:
        """Return where the network may lie.

        Not wider and narrower routes, a VPN's 10.0.0.0/8, are in the way where the user has chosen the subnet, and no
        route where the machine is none of the network's: its subnet is mostly that of the machine's own link.
        """
        chosen = ipam.chosen(spec.pools)
        routed = driver_of(spec).routed
        passed = {
            route for subnet, route in ipam.overlaps(chosen, self.routes) if subnet != route or not routed
        }
        return ipam.AddressSpace(
            pools=pools,
            taken=[*self.subnets, *(route for route in self.routes if route not in passed)],
            last=self.memory.last(spec.name),
            idle=self.memory.others(spec.name),
        )

    def add(self, spec: NetworkSpec, state: NetworkState) -> None:
        """Count in a network that has been made."""
        self.subnets += _subnets(state)
        if state.subnet and not state.static and not spec.project.startswith(BUILDS):
            self.memory.note(state.name, state.subnet)


def _subnets(state: NetworkState) -> list[ipam.Network]:
    return [ipaddress.ip_network(text) for text in (state.subnet, state.subnet6) if text]
