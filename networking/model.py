"""What networking is asked for and what it answers, as plain data.

A container's place on a network has three shapes: what was asked for (EndpointSpec), what is written down so that it
can be removed or made again (Attachment), and what there is now (EndpointState). Its addresses are a Lease's, which
outlives it. A published port is what the firewall translates (PublishedPort) and, apart from that, the sockets that
keep others off the host's port (ports/reserve.py, Reservation).
"""

from __future__ import annotations

import re

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import NetworkError

BRIDGE_OPTION = "com.docker.network.bridge."
DRIVER_OPTION = "com.docker.network.driver."
DEFAULT_MTU = 1500

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One entry of `ipam.config`; `aux` are addresses that belong to somebody else (name → address)."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network as the user wants it. `name` is the name on the machine, `options` are driver_opts."""

    name: str
    project: str
    driver: str = "bridge"
    internal: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    pools: tuple[Pool, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """A network that exists, or is about to: it is written down before the kernel hears of it.

    `subnet`, `gateway` and their IPv6 twins are "" when the family is off. `reserved` are addresses that
    are never leased. `static` tells that the user chose the subnet, without which Docker allows no
    `ipv4_address`. `host_binding` is the address to publish on when a port names none.
    """

    name: str
    id: str
    project: str
    bridge: str
    driver: str = "bridge"
    internal: bool = False
    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    subnet6: str = ""
    ip_range6: str = ""
    gateway6: str = ""
    static: bool = False
    static6: bool = False
    reserved: tuple[str, ...] = ()
    mtu: int = DEFAULT_MTU
    isolated_ports: bool = False
    masquerade: bool = True
    host_binding: str = ""
    interface_prefix: str = "eth"
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The addresses that a lease key keeps, whoever is connected under it."""

    ip: str = ""
    ip6: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """How a container wants to sit on one network.

    `lease_key` "project/service/number" finds the same addresses after a recreate; one with more parts is a
    one-off's and forgotten with it. `aliases` belong to DNS; they are carried for the caller.
    """

    network: str
    lease_key: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    interface_name: str = ""
    priority: int = 0
    gw_priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What the network's file remembers of one connected container: enough to remove it, or to connect it again.

    `veth` is the machine's link to it, `interface` the name inside.
    """

    lease_key: str
    veth: str = ""
    interface: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """How a container sits on one network; the gateways are "" unless its default route goes there."""

    network: NetworkState
    attachment: Attachment
    gateway: str = ""
    gateway6: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A host port that the kernel hands to a container; both addresses are of one family.

    `host_ip` "" means every address of the container address's family.
    """

    host_ip: str
    host_port: int
    protocol: str
    container_ip: str
    container_port: int


def check_name(name: str) -> str:
    """Return `name` if it can be a network's (Docker's rule, safe as a file name). Raises NetworkError."""
    if not _NAME.match(name):
        raise NetworkError(
            f"network {name!r}: create: not a valid name",
            hint="200 letters, digits, '_', '.' and '-' at most, a letter or digit first",
        )
    return name
