"""What networking is asked for and what it answers, as plain data.

A container's place on a network has three shapes: what was asked for (EndpointSpec), what is written down so that it
can be removed or made again (Attachment), and what there is now (EndpointState). Its addresses are a Lease's, which
outlives it. A published port is what the firewall translates (PublishedPort) and, apart from that, the sockets that
keep others off the host's port (ports/reserve.py, Reservation). Where nothing is translated it is an OpenPort.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.digests import sha256
from pycompose.engine.errors import NetworkError

if TYPE_CHECKING:
    from pathlib import Path

BRIDGE_OPTION = "com.docker.network.bridge."
DRIVER_OPTION = "com.docker.network.driver."
DEFAULT_MTU = 1500
# In an ordinary user's private host: as much as its way out takes, for which each packet is a system call or two.
PRIVATE_MTU = 65520
# How a bridge leads to the world, as Docker 28 names it: by translation, by that and by its own addresses, by its own
# addresses alone, not at all.
NAT, NAT_UNPROTECTED, ROUTED, ISOLATED = "nat", "nat-unprotected", "routed", "isolated"
GATEWAY_MODES = (NAT, NAT_UNPROTECTED, ROUTED, ISOLATED)
IFNAMSIZ = 15
IPV6_MIN_MTU = 1280  # RFC 8200, 5: the kernel takes IPv6 off a link with less
# As the gateway of a route: there is none, the destination is on the link (route(8)).
ON_LINK, ON_LINK6 = "0.0.0.0", "::"  # noqa: S104 - nothing listens there
# What a published port without an address is published on.
ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - compared here, bound in ports/reserve.py
# Docker's default network: one for all projects, made when somebody needs it, on which nobody knows any names.
DEFAULT_BRIDGE = "bridge"
# Names that mean something else than a network that somebody has made.
PREDEFINED = (DEFAULT_BRIDGE, "host", "none")

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
    """A network as the user wants it. `name` is the name on the machine, `options` are driver_opts.

    `ipam_options` are kept to be shown: the one driver for addresses takes none. `config_only` makes
    none: it is what another one has its settings from, which then names it in `config_from`.
    """

    name: str
    project: str
    driver: str = "bridge"
    internal: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    pools: tuple[Pool, ...] = ()
    ipam_options: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """A network that exists, or is about to: it is written down before the kernel hears of it.

    `subnet`, `gateway` and their IPv6 twins are "" when the family is off. `aux` are addresses that belong to
    somebody else (name → address) and are never leased. `static` tells that the user chose the subnet, without which
    Docker allows no `ipv4_address`. `host_binding` is the address to publish on when a port names none.
    `gateway_mode` is one of GATEWAY_MODES; what goes out has the address `host_source` if that is one; with `inhibited`
    the machine has no address on the bridge, somebody else is the gateway. All have IPv6 twins.
    `bridge` and what follows from it is for that driver; `parent` is the machine's link that macvlan and ipvlan
    share, which `owns_parent` was made for the network, and `mode` is how they do it.
    """

    name: str
    id: str
    project: str
    bridge: str = ""
    parent: str = ""
    owns_parent: bool = False
    mode: str = ""
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    subnet6: str = ""
    ip_range6: str = ""
    gateway6: str = ""
    static: bool = False
    static6: bool = False
    aux: dict[str, str] = field(default_factory=dict)
    mtu: int = DEFAULT_MTU
    isolated_ports: bool = False
    masquerade: bool = True
    gateway_mode: str = NAT
    gateway_mode6: str = NAT
    inhibited: bool = False
    host_binding: str = ""
    host_source: str = ""
    host_source6: str = ""
    interface_prefix: str = "eth"
    ipam_options: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    created_ns: int = 0

    @property
    def routed_out(self) -> bool:
        """Whether this machine is the way out: it routes and translates, and published ports can lead here."""
        return not (self.internal or self.parent)

    @property
    def router_addresses(self) -> list[tuple[str, str]]:
        """Addresses of this machine on the bridge, each with its subnet."""
        four = bool(self.bridge and self.gateway) and self.gateway_mode != ISOLATED and not self.inhibited
        six = bool(self.bridge and self.gateway6) and self.gateway_mode6 != ISOLATED
        pairs = ((four, self.gateway, self.subnet), (six, self.gateway6, self.subnet6))
        return [(address, subnet) for there, address, subnet in pairs if there]

    def gateway_mode_of(self, version: int) -> str:
        """Return the gateway mode of an address family."""
        return self.gateway_mode if version == 4 else self.gateway_mode6

    def source(self, version: int) -> str:
        """Return the address of this machine that the user has chosen for what leaves the network, "" for none."""
        return self.host_source if version == 4 else self.host_source6

    def is_guarded(self, version: int) -> bool:
        """Tell whether nobody outside may use its own addresses; answers come to those of one that isn't translated."""
        return self.internal or (
            self.translates(version) and self.gateway_mode_of(version) != NAT_UNPROTECTED
        )

    def translates(self, version: int) -> bool:
        """Tell whether what leaves the network in an address family gets an address of this machine."""
        return (
            self.masquerade and not self.internal and self.gateway_mode_of(version) in (NAT, NAT_UNPROTECTED)
        )

    @property
    def default_routes(self) -> tuple[str, str]:
        """What default routes of containers lead to, for each family: the gateway, or ON_LINK's for the link itself."""
        if self.mode.startswith("l3"):
            return (ON_LINK if self.subnet else "", ON_LINK6 if self.subnet6 else "")
        return (self.gateway, self.gateway6)


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
    one-off's and forgotten with it. `aliases` belong to DNS; they are carried for the caller. `sysctls` are the
    interface's ("ipv4/conf/IFNAME/log_martians").
    """

    network: str
    lease_key: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    interface_name: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)
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
    """How a container sits on one network; the gateways are "" unless its default route goes there.

    `link_local` are addresses that it has besides those of its lease.
    """

    network: NetworkState
    attachment: Attachment
    link_local: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPort:
    """A port of a container that is reached at the container's own address: its network is `routed`."""

    container_ip: str
    protocol: str
    container_port: int


def predefined_id(root: Path, name: str) -> str:
    """Return the id of a network that is always there, on the machine whose state lies in `root`."""
    return sha256(f"{root} {name}".encode()).hexdigest()


def check_name(name: str) -> str:
    """Return `name` if it can be a network's (Docker's rule, safe as a file name). Raises NetworkError."""
    if not _NAME.match(name):
        raise NetworkError(
            f"network {name!r}: create: not a valid name",
            hint="200 letters, digits, '_', '.' and '-' at most, a letter or digit first",
        )
    return name


def link_alias(project: str) -> str:
    """Return the ifalias of a project's links, by which they are found again when their file is lost.

    Every user of the machine can list it: it has a digest in place of the name.
    """
    return f"pycompose {sha256(project.encode()).hexdigest()[:16]}"
