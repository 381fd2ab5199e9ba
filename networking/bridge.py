"""The bridge driver: how a network's settings become a NetworkState, and the bridge behind it."""

from __future__ import annotations

import ipaddress
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam, veth
from pycompose.networking.model import (
    BRIDGE_OPTION,
    DEFAULT_MTU,
    DRIVER_OPTION,
    NetworkSpec,
    NetworkState,
    Pool,
    check_name,
)
from pycompose.networking.netlink.rtnetlink import Netlink
from pycompose.networking.netns import write_sysctls

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pycompose.networking.model import EndpointState

# Every bridge of ours is in this link group, so that one firewall rule can name them all, whatever their
# names.
LINK_GROUP = 0x70796300
IFNAMSIZ = 15


class BridgeDriver:
    """`driver: bridge`: a bridge for each network, a veth pair for each container on it (veth(4))."""

    routed = True

    def new_state(
        self, spec: NetworkSpec, pools: Iterable[ipam.AddressPool], taken: Collection[ipam.Network]
    ) -> NetworkState:
        """Return the state of a network that does not exist yet: checked settings, chosen subnets, new id.

        `taken` are the subnets of other networks and the routes of the machine. Raises NetworkError.
        """
        check_name(spec.name)
        if not spec.enable_ipv4 and not spec.enable_ipv6:
            raise NetworkError(f"network {spec.name}: create: IPv4 and IPv6 are both disabled")
        four, six = _blocks(spec, pools, taken)
        identity = os.urandom(32).hex()
        return NetworkState(
            name=spec.name,
            id=identity,
            project=spec.project,
            driver=spec.driver,
            bridge=_bridge_name(spec, identity),
            internal=spec.internal,
            subnet=str(four.subnet) if four else "",
            ip_range=str(four.ip_range) if four else "",
            gateway=four.gateway if four else "",
            subnet6=str(six.subnet) if six else "",
            ip_range6=str(six.ip_range) if six else "",
            gateway6=six.gateway if six else "",
            static=any(pool.subnet and ":" not in pool.subnet for pool in spec.pools),
            static6=any(":" in pool.subnet for pool in spec.pools),
            reserved=(four.reserved if four else ()) + (six.reserved if six else ()),
            mtu=_mtu(spec),
            isolated_ports=not _switch(spec, "enable_icc"),
            masquerade=_switch(spec, "enable_ip_masquerade"),
            host_binding=spec.options.get(BRIDGE_OPTION + "host_binding_ipv4", ""),
            interface_prefix=spec.options.get("com.docker.network.container_iface_prefix", "eth"),
            options=dict(spec.options),
            labels=dict(spec.labels),
            created_ns=time.time_ns(),
        )

    def ensure(self, state: NetworkState) -> None:
        """Create the network's bridge, or what is missing of it. Raises NetworkError."""
        with Netlink() as netlink:
            batch = netlink.batch()
            batch.create_bridge(state.bridge, mac=ipam.random_mac(), mtu=state.mtu, group=LINK_GROUP)
            batch.commit()
            if state.subnet6:
                # Without DAD: for two seconds the bridge could not ask for anybody's MAC. We know who has what.
                settings = {"accept_ra": "0", "accept_dad": "0"}
                write_sysctls({f"ipv6/conf/{state.bridge}/{key}": value for key, value in settings.items()})
            batch.set_bridge(state.bridge, alias=alias(state), ipv6=bool(state.subnet6))
            index = netlink.index(state.bridge)
            for gateway, subnet in ((state.gateway, state.subnet), (state.gateway6, state.subnet6)):
                if gateway:
                    batch.add_address(state.bridge, index, gateway, ipaddress.ip_network(subnet).prefixlen)
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


def alias(state: NetworkState) -> str:
    """Return the bridge's ifalias, by which it is found again when its file is lost."""
    return f"pycompose {state.project} {state.name}"


def _blocks(
    spec: NetworkSpec, pools: Iterable[ipam.AddressPool], taken: Collection[ipam.Network]
) -> tuple[ipam.AddressBlock | None, ipam.AddressBlock | None]:
    four = [pool for pool in spec.pools if ":" not in (pool.subnet or pool.gateway)]
    six = [pool for pool in spec.pools if ":" in (pool.subnet or pool.gateway)]
    if len(four) > 1 or len(six) > 1:
        raise NetworkError(f"network {spec.name}: ipam: one subnet for each address family is supported")
    for pool in (*four, *six):
        if not pool.subnet and (pool.gateway or pool.ip_range or pool.aux):
            raise NetworkError(
                f"network {spec.name}: ipam: gateway, ip_range and aux_addresses need a subnet"
            )
    block4 = _block(spec, four, None, taken) if four and four[0].subnet else None
    if block4 is None and spec.enable_ipv4:
        block4 = ipam.check_pool(spec.name, Pool(), ipam.choose_subnet(pools, taken))
    block6 = None
    if spec.enable_ipv6:
        block6 = _block(spec, six, ipam.derive_subnet6(spec.project, spec.name), taken)
    return (block4 if spec.enable_ipv4 else None), block6


def _block(
    spec: NetworkSpec, given: list[Pool], default: ipam.Network | None, taken: Collection[ipam.Network]
) -> ipam.AddressBlock:
    pool = given[0] if given else Pool()
    block = ipam.check_pool(spec.name, pool, None if pool.subnet else default)
    for _subnet, other in ipam.overlaps([block.subnet], taken):
        raise NetworkError(
            f"network {spec.name}: create: subnet {block.subnet} overlaps {other}, which is in use",
            hint="choose another ipam subnet, or leave it out to get a free one",
        )
    return block


def _bridge_name(spec: NetworkSpec, identity: str) -> str:
    name = spec.options.get(BRIDGE_OPTION + "name", "")
    if not name:
        return f"pc-{identity[:11]}"
    if len(name) > IFNAMSIZ or name in {".", ".."} or any(char in "/:" or char.isspace() for char in name):
        raise NetworkError(
            f"network {spec.name}: {BRIDGE_OPTION}name: {name!r} is not an interface name",
            hint=f"{IFNAMSIZ} characters at most, without '/', ':' and blanks",
        )
    return name


def _mtu(spec: NetworkSpec) -> int:
    text = spec.options.get(DRIVER_OPTION + "mtu", str(DEFAULT_MTU))
    if not text.isascii() or not text.isdigit() or not 68 <= int(text) <= 65535:
        raise NetworkError(
            f"network {spec.name}: {DRIVER_OPTION}mtu: {text!r} is not a number from 68 to 65535"
        )
    return int(text)


def _switch(spec: NetworkSpec, name: str) -> bool:
    text = spec.options.get(BRIDGE_OPTION + name, "true")
    if text.lower() in {"1", "t", "true"}:
        return True
    if text.lower() in {"0", "f", "false"}:
        return False
    raise NetworkError(f"network {spec.name}: {BRIDGE_OPTION}{name}: {text!r} is neither true nor false")
