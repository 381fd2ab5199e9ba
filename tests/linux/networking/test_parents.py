"""macvlan and ipvlan: containers are neighbours of the machine, on the wire that it is on."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest
from pycompose.engine.errors import NetworkError
from pycompose.networking import netns
from pycompose.networking.model import EndpointSpec, NetworkSpec, Pool
from pycompose.networking.netlink.batch import failed_with
from pycompose.networking.netlink.newlink import NewLink
from pycompose.networking.netlink.rtnetlink import Netlink

from tests.support.netlab import OUTSIDE, addresses, ask, ip, nft
from tests.support.requires import requires

if TYPE_CHECKING:
    from tests.support.netlab import Container, Lab

WIRE = Pool(subnet="192.0.2.0/24", gateway=OUTSIDE, ip_range="192.0.2.128/25")


def kernel_has(kind: str) -> bool:
    """Tell whether the kernel has links of a kind."""
    with Netlink() as netlink:
        batch = netlink.batch()
        batch.create_link(NewLink(name="probe", kind=kind, mac="01:00:00:00:00:00"))
        (failure,) = batch.commit_each()
    return not failed_with(failure, errno.EOPNOTSUPP)


def on_the_wire(lab: Lab, driver: str, *, name: str = "lan", **options: str) -> None:
    """Make a network on the wire to the host outside."""
    if not kernel_has(driver):
        pytest.skip(f"this kernel has no {driver}")
    lab.make_outside()
    spec = NetworkSpec(
        name=name, project="lab", driver=driver, pools=(WIRE,), options={"parent": "uplink", **options}
    )
    lab.networking.ensure_network(spec)


def details(container: Container, interface: str = "eth0") -> dict[str, object]:
    """Return what `ip -d` says of the kind of an interface."""
    (link,) = json.loads(container.run(lambda: ip("-json", "-details", "link", "show", interface)))
    found = link["linkinfo"]
    assert isinstance(found, dict)
    return found


@requires("nft")
@pytest.mark.parametrize("driver", ("macvlan", "ipvlan"))
def test_neighbours_of_the_machine(empty_lab: Lab, driver: str) -> None:
    """The host outside sees the container's own address, and the other way; nothing of the machine is in between."""
    on_the_wire(empty_lab, driver)
    one, two = empty_lab.connect("lan"), empty_lab.connect("lan")
    one.serve()
    empty_lab.serve(empty_lab.from_outside, 80)
    empty_lab.firewall()

    assert addresses(one.pin)["eth0"] >= {f"{one.ip}/24"}
    assert (one.ip, two.ip) == ("192.0.2.128", "192.0.2.129")
    assert empty_lab.from_outside(lambda: ask(one.ip, 80)) == OUTSIDE
    assert one.ask(OUTSIDE, 80) == one.ip  # not translated
    assert two.ask(one.ip, 80) == two.ip
    assert one.endpoints[0].attachment.veth == ""
    assert f"default via {OUTSIDE} dev eth0" in one.run(lambda: ip("route"))
    assert one.ip not in nft("list", "ruleset")
    assert netns.read_sysctl("ipv4/ip_forward") == "0"
    mac = one.endpoints[0].attachment.mac
    assert bool(mac) == (driver == "macvlan")
    assert mac in one.run(lambda: ip("link", "show", "eth0"))

    again = empty_lab.networking.connect(
        one.id, [EndpointSpec(network="lan", lease_key=one.endpoints[0].attachment.lease_key)]
    )
    assert again[0].attachment == one.endpoints[0].attachment  # idempotent
    empty_lab.networking.disconnect(one.id, two.id)
    empty_lab.networking.remove_network("lan")
    assert "uplink" in ip("link", "show")  # the parent is the machine's


@pytest.mark.parametrize("mode", ("private", "vepa", "bridge", "passthru"))
def test_modes_of_macvlan(empty_lab: Lab, mode: str) -> None:
    """`macvlan_mode` is the kernel's: in private mode two containers don't see each other."""
    on_the_wire(empty_lab, "macvlan", macvlan_mode=mode)
    one = empty_lab.connect("lan")

    found = details(one)["info_data"]
    assert isinstance(found, dict)
    assert found["mode"] == mode
    if mode in ("private", "bridge"):
        two = empty_lab.connect("lan")
        one.serve()
        answer = two.ask(one.ip, 80, wait_s=5.0 if mode == "bridge" else 0.5)
        assert answer == (two.ip if mode == "bridge" else "silence")


@pytest.mark.parametrize("flag", ("bridge", "private", "vepa"))
@pytest.mark.parametrize("mode", ("l2", "l3", "l3s"))
def test_modes_of_ipvlan(empty_lab: Lab, mode: str, flag: str) -> None:
    """`ipvlan_mode` and `ipvlan_flag` are the kernel's; in the routed modes the way out is the link itself."""
    on_the_wire(empty_lab, "ipvlan", ipvlan_mode=mode, ipvlan_flag=flag)
    one = empty_lab.connect("lan")
    found = details(one)["info_data"]

    assert isinstance(found, dict)
    assert (found["mode"], found[flag]) == (mode, True)
    route = one.run(lambda: ip("route", "show", "default"))
    assert route.split()[1:3] == (["via", OUTSIDE] if mode == "l2" else ["dev", "eth0"])


def test_ipvlan_where_the_kernel_lacks_it(empty_lab: Lab) -> None:
    """It is said before anything is made."""
    if kernel_has("ipvlan"):
        pytest.skip("this kernel has it")
    empty_lab.make_outside()
    spec = NetworkSpec(name="lan", project="lab", driver="ipvlan", options={"parent": "uplink"})
    with pytest.raises(NetworkError, match="network lan: create: this kernel has no ipvlan links") as caught:
        empty_lab.networking.ensure_network(spec)

    assert caught.value.hint is not None
    assert "modprobe ipvlan" in caught.value.hint
    assert empty_lab.networking.list_networks() == []


def test_beside_a_bridge(empty_lab: Lab) -> None:
    """The subnet of the machine's own link is no conflict, here only; the way out is chosen as among bridges."""
    on_the_wire(empty_lab, "macvlan", name="b-lan")
    empty_lab.networking.ensure_network(NetworkSpec(name="a-bridge", project="lab"))
    with pytest.raises(NetworkError, match="overlaps"):
        empty_lab.networking.ensure_network(NetworkSpec(name="c", project="lab", pools=(WIRE,)))
    both = empty_lab.connect("a-bridge", "b-lan")

    gateway = empty_lab.state("a-bridge").gateway
    assert f"default via {gateway} dev eth0" in both.run(lambda: ip("route"))
    assert [one.network.name for one in both.endpoints] == ["a-bridge", "b-lan"]


@pytest.mark.parametrize(
    ("options", "reason"),
    (
        ({"parent": "nothing"}, "the parent interface nothing was not found"),
        ({"parent": "lo"}, "parent: loopback cannot carry other links"),
        ({"parent": "nothing.5"}, "macvlan|there is no link nothing for the VLAN nothing.5|no vlan links"),
        ({"parent": "uplink", "macvlan_mode": "loud"}, "macvlan_mode: 'loud' is not valid"),
        ({"parent": "uplink", "com.docker.network.driver.mtu": "9"}, "mtu: '9' is not a number"),
    ),
)
def test_what_cannot_be(empty_lab: Lab, options: dict[str, str], reason: str) -> None:
    """Nothing is left of it."""
    empty_lab.make_outside()
    with pytest.raises(NetworkError, match=reason):
        empty_lab.networking.ensure_network(
            NetworkSpec(name="lan", project="lab", driver="macvlan", options=options)
        )

    assert empty_lab.networking.list_networks() == []


@pytest.mark.parametrize("kind", ("vlan", "dummy"))
def test_parents_that_are_made(empty_lab: Lab, kind: str) -> None:
    """A VLAN, or a link that leads nowhere: it goes with the network; where the kernel can't, that is said."""
    empty_lab.make_outside()
    options = {"parent": "uplink.5"} if kind == "vlan" else {}
    spec = NetworkSpec(name="lan", project="lab", driver="macvlan", options=options)
    if not kernel_has(kind):
        with pytest.raises(NetworkError, match=f"this kernel has no {kind} links"):
            empty_lab.networking.ensure_network(spec)
        return
    state = empty_lab.networking.ensure_network(spec)
    one, two = empty_lab.connect("lan"), empty_lab.connect("lan")
    one.serve()
    assert state.parent in ip("link", "show", "up")
    assert two.ask(one.ip, 80) == two.ip
    empty_lab.networking.disconnect(one.id, two.id)
    empty_lab.networking.remove_network("lan")
    assert state.parent not in ip("link", "show")


def test_a_parent_that_somebody_has_made_stays(empty_lab: Lab) -> None:
    """Also one that looks like a VLAN."""
    empty_lab.make_outside()
    ip("link", "add", "up.5", "type", "bridge")
    empty_lab.stack.callback(ip, "link", "delete", "up.5")
    empty_lab.networking.ensure_network(
        NetworkSpec(name="lan", project="lab", driver="macvlan", options={"parent": "up.5"})
    )
    empty_lab.networking.remove_network("lan")

    assert "up.5" in ip("link", "show")
