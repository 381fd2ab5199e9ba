"""What a kind of network has to do, and the table of the kinds there are.

The rest of networking is the same for all of them: choosing and keeping addresses, the container's namespace, its
addresses and routes, firewall, names. To add a driver: a module with a class that has these methods, and a row in
DRIVERS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pycompose.engine.errors import NetworkError
from pycompose.networking.bridge import BridgeDriver
from pycompose.networking.config_only import ConfigOnlyDriver
from pycompose.networking.parents import ParentDriver
from pycompose.networking.settings import SettingProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pycompose.networking import ipam
    from pycompose.networking.model import EndpointState, NetworkSpec, NetworkState
    from pycompose.networking.netlink.rtnetlink import Netlink
    from pycompose.networking.settings import OptionRule


class NetworkDriver(Protocol):
    """One kind of network: the links of the machine behind it, and those that lead into containers.

    With `routed` the machine routes between the network and the world: it forwards, and the firewall guards it.
    """

    routed: bool

    @property
    def options(self) -> Mapping[str, OptionRule]:
        """The `driver_opts` that do something, with the rule of each; others are kept and shown."""

    def problems(self, spec: NetworkSpec) -> Iterator[SettingProblem]:
        """Yield what is wrong with the settings of a network: pure, whatever the machine has."""

    def new_state(self, spec: NetworkSpec, space: ipam.AddressSpace) -> NetworkState:
        """Return the state of a network that does not exist yet, whose settings are right: chosen subnets, new id.

        Raises NetworkError, AddressesExhausted.
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


DRIVERS: dict[str, NetworkDriver] = {
    "bridge": BridgeDriver(),
    "macvlan": ParentDriver("macvlan"),
    "ipvlan": ParentDriver("ipvlan"),
}
_CONFIG_ONLY = ConfigOnlyDriver()


def problems(spec: NetworkSpec) -> Iterator[SettingProblem]:
    """Yield what is wrong with what a network is to be made of: pure, whatever the machine has."""
    if not spec.config_only and spec.driver not in DRIVERS:
        known = f"use driver: {', '.join(DRIVERS)}, or network_mode: host or none for the service"
        yield SettingProblem(("driver",), f"driver {spec.driver!r} is not supported", known)
        return
    yield from driver_of(spec).problems(spec)


def check(spec: NetworkSpec) -> None:
    """Raise NetworkError for the first of the `problems`."""
    for problem in problems(spec):
        kind, *below = problem.path
        where = {"driver_opts": f"{below[0]}: " if below else "", "ipam": "ipam: "}.get(str(kind), "")
        raise NetworkError(f"network {spec.name}: {where}{problem.reason}", hint=problem.hint)


def driver_of(network: NetworkSpec | NetworkState) -> NetworkDriver:
    """Return the driver of a network that is right, or exists."""
    return _CONFIG_ONLY if network.config_only else DRIVERS[network.driver]
