"""The seam for network drivers: another kind of network beside bridges, known to nobody but the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking.bridge import BridgeDriver
from pycompose.networking.driver import DRIVERS
from pycompose.networking.model import EndpointSpec, EndpointState, NetworkSpec, NetworkState

from tests.support.netlab import addresses, ip, nft
from tests.support.requires import requires

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.networking import ipam
    from pycompose.networking.netlink.rtnetlink import Netlink
    from pycompose.networking.settings import SettingProblem

    from tests.support.netlab import Lab


class ApartDriver:
    """Interfaces that lead nowhere: bridges without ports, in the container. The machine has nothing to route."""

    routed = False
    options = BridgeDriver.options

    def problems(self, spec: NetworkSpec) -> Iterator[SettingProblem]:
        """Have the rules of bridges."""
        return BridgeDriver().problems(spec)

    def new_state(self, spec: NetworkSpec, space: ipam.AddressSpace) -> NetworkState:
        """Choose subnets as bridges do."""
        return BridgeDriver().new_state(spec, space)

    def check_conflicts(self, state: NetworkState) -> None:
        """Nothing is made on the machine."""

    def ensure(self, state: NetworkState) -> None:
        """Nothing is made on the machine."""

    def links(self, _state: NetworkState) -> Sequence[str]:
        """Return nothing."""
        return ()

    def link_name(self, _container_id: str, _network: str) -> str:
        """Return nothing."""
        return ""

    def add_interfaces(
        self, _host: Netlink, container: Netlink, _netns_fd: int, endpoints: Sequence[EndpointState]
    ) -> None:
        """Make the interface in the container's namespace alone."""
        batch = container.batch()
        for endpoint in endpoints:
            name, mac = endpoint.attachment.interface, endpoint.attachment.mac
            batch.create_bridge(name, mac=mac, mtu=1500, group=0)
        batch.commit()

    def announce(self, host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
        """Nobody is there to be told."""


@requires("nft")
def test_networks_of_two_drivers(empty_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has an interface of each; only the bridge is on the machine, in the rules, and the way out."""
    monkeypatch.setitem(DRIVERS, "apart", ApartDriver())
    networking = empty_lab.networking
    bridged = networking.ensure_network(NetworkSpec(name="outside", project="lab"))
    silent = networking.ensure_network(NetworkSpec(name="apart", project="lab", driver="apart"))
    container = empty_lab.connect("outside", "apart")
    wanted = [EndpointSpec(network=name, lease_key="lab/s/again") for name in ("outside", "apart")]
    empty_lab.firewall()

    found = addresses(container.pin)
    apart, outside = container.endpoints
    assert (apart.network.name, apart.attachment.veth, apart.gateway) == ("apart", "", silent.gateway)
    assert f"{apart.attachment.ip}/16" in found["eth0"]
    assert f"{outside.attachment.ip}/16" in found["eth1"]
    assert len(links()) == 3  # lo, the bridge, its veth
    rules = nft("list", "table", "inet", "pyc_lab")
    assert bridged.subnet in rules
    assert silent.subnet not in rules
    assert silent.bridge not in rules

    again = networking.connect("f" * 64, wanted)
    networking.disconnect(container.id, "f" * 64)
    for name in ("apart", "outside"):
        networking.remove_network(name)
    assert len(again) == 2
    assert len(links()) == 1


def test_a_network_of_an_unknown_driver(empty_lab: Lab) -> None:
    """The message names the network and the drivers that there are."""
    with pytest.raises(NetworkError, match="network n: driver 'apart' is not supported") as caught:
        empty_lab.networking.ensure_network(NetworkSpec(name="n", project="lab", driver="apart"))

    assert (
        caught.value.hint
        == "use driver: bridge, macvlan, ipvlan, or network_mode: host or none for the service"
    )


def links() -> list[str]:
    return ip("-oneline", "link", "show").splitlines()
