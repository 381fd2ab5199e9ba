"""What a kind of network has to do, and the table of the kinds there are.

The rest of networking is the same for all of them: choosing and keeping addresses, the container's namespace, its
addresses and routes, firewall, names. To add a driver: a module with a class that has these methods, a row in DRIVERS,
and the schema of what `driver_opts` it takes in its `new_state`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pycompose.engine.errors import NetworkError
from pycompose.networking.bridge import BridgeDriver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pycompose.networking import ipam
    from pycompose.networking.model import EndpointState, NetworkSpec, NetworkState
    from pycompose.networking.netlink.rtnetlink import Netlink


class NetworkDriver(Protocol):
    """One kind of network: the links of the machine behind it, and those that lead into containers.

    With `routed` the machine routes between the network and the world: it forwards, and the firewall guards it.
    """

    routed: bool

    def new_state(
        self, spec: NetworkSpec, pools: Iterable[ipam.AddressPool], taken: Collection[ipam.Network]
    ) -> NetworkState:
        """Return the state of a network that does not exist yet: checked settings, chosen subnets, new id.

        `taken` are the subnets of other networks and the routes of the machine. Raises NetworkError.
        """

    def check_conflicts(self, state: NetworkState) -> None:
        """Raise NetworkError when the machine has something of that name that isn't ours."""

    def ensure(self, state: NetworkState) -> None:
        """Make what the network needs on the machine, or what is missing of it. Raises NetworkError."""

    def links(self, state: NetworkState) -> Sequence[str]:
        """Return the names of the machine's links that go with the network."""

    def link_name(self, container_id: str, network: str) -> str:
        """Return the name of the machine's link to a container, always the same one; "" when there is none."""

    def add_interfaces(
        self, host: Netlink, container: Netlink, netns_fd: int, endpoints: Sequence[EndpointState]
    ) -> None:
        """Make each endpoint's interface in the container's namespace, unless it is there. Raises NetworkError.

        `host` and `container` are sockets in the two namespaces. Addresses and routes come later, by the caller.
        """

    def announce(self, host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
        """Tell the neighbours whose the addresses are: an address may have had another MAC a second ago."""


DRIVERS: dict[str, NetworkDriver] = {"bridge": BridgeDriver()}


def driver_of(network: NetworkSpec | NetworkState) -> NetworkDriver:
    """Return the driver of a network. Raises NetworkError when there is none of that name."""
    driver = DRIVERS.get(network.driver)
    if driver is None:
        raise NetworkError(
            f"network {network.name}: driver {network.driver!r} is not supported",
            hint=f"use driver: {' or '.join(DRIVERS)}, or network_mode: host or none for the service",
        )
    return driver
