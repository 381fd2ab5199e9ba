"""Which names a container can see, as Docker's DNS server has it: pure. The server swaps the table as a whole."""

from __future__ import annotations

import ipaddress
from enum import Enum
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.networking.dns.message import AAAA, PTR, A

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pycompose.networking.model import NetworkState

HOST_NAMES = frozenset({"host.docker.internal", "gateway.docker.internal"})
LOCALHOST = {A: "127.0.0.1", AAAA: "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsRecord:
    """One container on one network; `names` are answered with its addresses, () while it isn't running.

    The first name is the one that an address is translated back to. One with a "/" is only for `links` to lead to.
    """

    container_id: str
    network: str
    ip: str = ""
    ip6: str = ""
    names: tuple[str, ...] = ()


class Outcome(Enum):
    """What is to be done with a question."""

    ANSWER = "answer"
    FORWARD = "forward"
    NO_SUCH_NAME = "no such name"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupResult:
    """An ANSWER without `addresses` is a name that has none of this type."""

    outcome: Outcome
    addresses: tuple[str, ...] = ()
    pointer: str = ""


FORWARD = LookupResult(outcome=Outcome.FORWARD)
NO_SUCH_NAME = LookupResult(outcome=Outcome.NO_SUCH_NAME)


class DnsTable:
    """Names of the networks, and who may ask for them. Never changed: threads may share it."""

    def __init__(
        self,
        records: Iterable[DnsRecord] = (),
        networks: Iterable[NetworkState] = (),
        links: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`links` are names of one client's own: container id → alias → the name it stands for."""
        self._networks = {state.name: state for state in networks}
        self._links = {key: _lower(links[key]) for key in links} if links else {}
        self._memberships: dict[str, list[str]] = {}
        self._names: dict[str, dict[str, list[DnsRecord]]] = {}
        self._pointers: dict[str, dict[str, str]] = {}
        for record in records:
            self._memberships.setdefault(record.container_id, []).append(record.network)
            known = self._names.setdefault(record.network, {})
            for name in dict.fromkeys(name.lower() for name in record.names):
                known.setdefault(name, []).append(record)
            for address in (record.ip, record.ip6):
                if address and record.names and "/" not in record.names[0]:
                    self._pointers.setdefault(record.network, {})[address] = record.names[0]

    def lookup(self, container_id: str, name: str, qtype: int) -> LookupResult:
        """Return what to do with the question of a container for `name` (without final dot)."""
        wanted = name.lower().rstrip(".")
        if qtype == PTR:
            return self._reverse(container_id, wanted)
        if wanted == "localhost":
            return _answer([LOCALHOST[qtype]] if qtype in LOCALHOST else [])
        linked = self._links.get(container_id, {}).get(wanted, "")
        wanted = linked or wanted
        found = self._find(container_id, wanted) if linked or "/" not in wanted else []
        if found:
            return _answer([_address(record, qtype) for record in found])
        if wanted in HOST_NAMES and (gateways := self._gateways(container_id)):
            return _answer([_gateway(state, qtype) for state in gateways[:1]])
        return self._outside(container_id)

    def forwards(self, container_id: str) -> bool:
        """Tell whether the container may ask the world: not from internal networks alone (CVE-2024-29018)."""
        return any(not self._is_internal(network) for network in self._memberships.get(container_id, ()))

    def _find(self, container_id: str, name: str) -> list[DnsRecord]:
        """Return the bearers of a name on the first of the asker's networks that knows it."""
        memberships = self._memberships.get(container_id, [])
        for network in memberships:
            if found := self._names[network].get(name):
                return found
        for host, network in _splits(name):
            for known in memberships:
                if known.lower() == network and (found := self._names[known].get(host)):
                    return found
        return []

    def _reverse(self, container_id: str, name: str) -> LookupResult:
        address = _reverse_address(name)
        for network in self._memberships.get(container_id, ()):
            if pointer := self._pointers.get(network, {}).get(address):
                return LookupResult(outcome=Outcome.ANSWER, pointer=f"{pointer}.{network}")
        return self._outside(container_id)

    def _gateways(self, container_id: str) -> list[NetworkState]:
        """Return the asker's networks, those that lead out first."""
        names = self._memberships.get(container_id, ())
        states = [self._networks[name] for name in names if name in self._networks]
        return sorted(states, key=lambda state: state.internal)

    def _outside(self, container_id: str) -> LookupResult:
        return FORWARD if self.forwards(container_id) else NO_SUCH_NAME

    def _is_internal(self, network: str) -> bool:
        """Tell whether nothing may leak; a network that we know nothing of counts as internal."""
        state = self._networks.get(network)
        return state is None or state.internal


def _answer(addresses: Iterable[str]) -> LookupResult:
    return LookupResult(outcome=Outcome.ANSWER, addresses=tuple(filter(None, addresses)))


def _address(record: DnsRecord, qtype: int) -> str:
    return {A: record.ip, AAAA: record.ip6}.get(qtype, "")


def _gateway(state: NetworkState, qtype: int) -> str:
    version = {A: 4, AAAA: 6}.get(qtype)
    found = (address for address, _subnet in state.router_addresses)
    return next((address for address in found if (6 if ":" in address else 4) == version), "")


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield (name, network) for each dot, from the right."""
    place = name.rfind(".")
    while place > 0:
        yield name[:place], name[place + 1 :]
        place = name.rfind(".", 0, place)


def _reverse_address(name: str) -> str:
    """Return the address of an in-addr.arpa or ip6.arpa name, "" when it is none."""
    labels = name.split(".")
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return str(ipaddress.IPv4Address(".".join(reversed(labels[:-2]))))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
            return str(ipaddress.IPv6Address(bytes.fromhex("".join(reversed(labels[:-2])))))
    except ValueError:
        pass
    return ""


def _lower(names: Mapping[str, str]) -> dict[str, str]:
    return {alias.lower(): name.lower() for alias, name in names.items()}
