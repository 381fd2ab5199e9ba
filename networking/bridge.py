"""The bridge driver: how a network's settings become a NetworkState, and the bridge behind it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam, settings, veth
from pycompose.networking.addressing import addressed
from pycompose.networking.model import BRIDGE_OPTION, GATEWAY_MODES, IPV6_MIN_MTU, ISOLATED, NAT, link_alias
from pycompose.networking.netlink.rtnetlink import Netlink
from pycompose.networking.netns import write_sysctls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.networking.model import EndpointState, NetworkSpec, NetworkState

# Every bridge of ours is in this link group, so that one firewall rule can name them all, whatever their
# names.
LINK_GROUP = 0x70796300

GATEWAY_MODE, GATEWAY_MODE6 = BRIDGE_OPTION + "gateway_mode_ipv4", BRIDGE_OPTION + "gateway_mode_ipv6"
HOST_SOURCE, HOST_SOURCE6 = "com.docker.network.host_ipv4", "com.docker.network.host_ipv6"
# Docker's names (libnetwork/drivers/bridge/labels.go).
OPTIONS = {
    BRIDGE_OPTION + "enable_icc": settings.is_switch,
    BRIDGE_OPTION + "enable_ip_masquerade": settings.is_switch,
    BRIDGE_OPTION + "host_binding_ipv4": settings.is_address(4),
    BRIDGE_OPTION + "inhibit_ipv4": settings.is_switch,
    BRIDGE_OPTION + "name": settings.is_interface,
    GATEWAY_MODE: settings.is_one_of(GATEWAY_MODES),
    GATEWAY_MODE6: settings.is_one_of(GATEWAY_MODES),
    HOST_SOURCE: settings.is_address(4),
    HOST_SOURCE6: settings.is_address(6),
}


class BridgeDriver:
    """`driver: bridge`: a bridge for each network, a veth pair for each container on it (veth(4))."""

    routed = True
    options = settings.ANY_OPTIONS | OPTIONS

    def problems(self, spec: NetworkSpec) -> Iterator[settings.SettingProblem]:
        """Yield what is wrong with the settings of a network."""
        yield from settings.problems(spec, self.options)
        for name in (GATEWAY_MODE, GATEWAY_MODE6):
            if spec.options.get(name) == ISOLATED and not spec.internal:
                yield settings.SettingProblem(
                    ("driver_opts", name), f"{ISOLATED!r} is for internal networks", "internal: true"
                )

    def new_state(self, spec: NetworkSpec, space: ipam.AddressSpace) -> NetworkState:
        """Return the state of a network that does not exist yet: chosen subnets, new id. Raises NetworkError."""
        state = addressed(spec, space)
        return replace(
            state,
            bridge=_bridge_name(spec, state.id),
            isolated_ports=not _is_on(spec, "enable_icc"),
            masquerade=_is_on(spec, "enable_ip_masquerade"),
            inhibited=_is_on(spec, "inhibit_ipv4", "false"),
            gateway_mode=spec.options.get(GATEWAY_MODE) or NAT,
            gateway_mode6=spec.options.get(GATEWAY_MODE6) or NAT,
            host_binding=spec.options.get(BRIDGE_OPTION + "host_binding_ipv4", ""),
            host_source=spec.options.get(HOST_SOURCE, ""),
            host_source6=spec.options.get(HOST_SOURCE6, ""),
        )

    def ensure(self, state: NetworkState) -> None:
        """Create the network's bridge, or what is missing of it. Raises NetworkError."""
        with Netlink() as netlink:
            batch = netlink.batch()
            batch.create_bridge(state.bridge, mac=ipam.random_mac(), mtu=state.mtu, group=LINK_GROUP)
            batch.set_mtu(state.bridge, state.mtu)  # of one that is there: with less than 1280 it has no IPv6
            batch.commit()
            # A container may send any frame, a router's advertisement too (CVE-2020-13401). Without DAD: for two
            # seconds the bridge could not ask for anybody's MAC. We know who has what.
            settings = {"accept_ra": "0", "accept_dad": "0", "disable_ipv6": "0" if state.subnet6 else "1"}
            write_sysctls({f"ipv6/conf/{state.bridge}/{key}": value for key, value in settings.items()})
            link_local = bool(state.subnet6) if state.mtu >= IPV6_MIN_MTU else None
            batch.set_bridge(state.bridge, alias=link_alias(state.project), link_local=link_local)
            index = netlink.index(state.bridge)
            for address, subnet in state.router_addresses:
                batch.add_address(state.bridge, index, address, ipaddress.ip_network(subnet).prefixlen)
            batch.commit()

    def check_conflicts(self, state: NetworkState) -> None:
        """Raise NetworkError when there is an interface of the bridge's name."""
        with Netlink() as netlink:
            if netlink.index(state.bridge):
                raise NetworkError(
                    f"network {state.name}: create: an interface {state.bridge} exists already",
                    hint=f"choose another {BRIDGE_OPTION}name",
                )

    def links(self, state: NetworkState) -> Sequence[str]:
        """Return the bridge."""
        return (state.bridge,)

    def link_name(self, container_id: str, network: str) -> str:
        """Return the name of the veth's end on the machine."""
        return veth.host_end(container_id, network)

    def add_interfaces(
        self, host: Netlink, container: Netlink, netns_fd: int, endpoints: Sequence[EndpointState]
    ) -> None:
        """Make a veth pair for each endpoint, or what is missing of it. Raises NetworkError."""
        veth.create_pairs(host, container, netns_fd, endpoints)

    def announce(self, host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
        """Let the bridges forward from now on, then tell the neighbours whose the addresses are."""
        veth.announce(host, container, endpoints)


def _bridge_name(spec: NetworkSpec, identity: str) -> str:
    return spec.options.get(BRIDGE_OPTION + "name") or f"pc-{identity[:11]}"


def _is_on(spec: NetworkSpec, name: str, default: str = "true") -> bool:
    return settings.switch(spec.options.get(BRIDGE_OPTION + name) or default)
