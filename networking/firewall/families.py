"""What differs between IPv4 and IPv6 in rules, and which of the two a network has."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from pycompose.engine.dataclass import dataclass
from pycompose.networking.firewall import nft

if TYPE_CHECKING:
    from pycompose.networking.model import NetworkState

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What differs between IPv4 and IPv6 in a rule: offsets in the header, lengths, registers."""

    name: str
    version: int
    nfproto: bytes
    type: int
    source: int
    destination: int
    size: int

    @property
    def registers(self) -> int:
        """How many 4-byte registers an address takes."""
        return self.size // 4

    def match(self) -> bytes:
        """Only packets of this family: payload offsets mean nothing for the other."""
        return nft.meta(nft.META_NFPROTO) + nft.compare(self.nfproto)

    def load_source(self) -> bytes:
        """Load the source address."""
        return nft.payload(nft.PAYLOAD_NETWORK_HEADER, self.source, self.size)

    def load_destination(self, register: int = nft.REG_1) -> bytes:
        """Load the destination address."""
        return nft.payload(nft.PAYLOAD_NETWORK_HEADER, self.destination, self.size, register)


IPV4 = Family(name="ip", version=4, nfproto=b"\2", type=nft.TYPE_IPV4, source=12, destination=16, size=4)
IPV6 = Family(name="ip6", version=6, nfproto=b"\x0a", type=nft.TYPE_IPV6, source=8, destination=24, size=16)


def subnets_of(network: NetworkState, version: int | None = None) -> list[Network]:
    """Return the subnets of a network, or the one of an address family."""
    nets = [ipaddress.ip_network(text) for text in (network.subnet, network.subnet6) if text]
    return [net for net in nets if version in (None, net.version)]
