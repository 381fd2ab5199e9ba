"""Networks on a link of the machine itself: `driver: macvlan` and `driver: ipvlan`.

Each container has an interface of its own on the `parent` (`-o parent=eth0`), as if it were plugged in beside the
machine: the neighbours outside see it, nothing is translated or filtered, no port is published, and the machine and its
own containers don't reach each other (that is how the kernel does it). `eth0.50` is a VLAN, made unless it is there;
without a parent the containers are among themselves on a link that leads nowhere. Docker's options and defaults
(libnetwork/drivers/macvlan, libnetwork/drivers/ipvlan).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NetworkError
from pycompose.networking import settings
from pycompose.networking.addressing import addressed, mtu_of
from pycompose.networking.model import IFNAMSIZ, link_alias
from pycompose.networking.netlink.batch import failed_with
from pycompose.networking.netlink.newlink import NewLink
from pycompose.networking.netlink.rtnetlink import Netlink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycompose.networking import ipam
    from pycompose.networking.model import EndpointState, NetworkSpec, NetworkState

# linux/if_link.h: MACVLAN_MODE_*, IPVLAN_MODE_*, IPVLAN_F_*.
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
MOST_VLAN = 4094
_MODULES = {"vlan": "8021q"}


def _is_parent(text: str) -> str:
    return "loopback cannot carry other links" if text.partition(".")[0] == "lo" else ""


OPTIONS = {
    "macvlan": {"parent": _is_parent, "macvlan_mode": settings.is_one_of(MACVLAN_MODES)},
    "ipvlan": {
        "parent": _is_parent,
        "ipvlan_mode": settings.is_one_of(IPVLAN_MODES),
        "ipvlan_flag": settings.is_one_of(IPVLAN_FLAGS),
    },
}


class ParentDriver:
    """Interfaces on a link of the machine; `kind` is the kernel's name of theirs, and the driver's."""

    routed = False

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.options = settings.ANY_OPTIONS | OPTIONS[kind]

    def problems(self, spec: NetworkSpec) -> Iterator[settings.SettingProblem]:
        """Yield what is wrong with the settings of a network."""
        yield from settings.problems(spec, self.options)

    def new_state(self, spec: NetworkSpec, space: ipam.AddressSpace) -> NetworkState:
        """Return the state of a network that does not exist yet: chosen subnets, new id. Raises NetworkError."""
        state = addressed(spec, space)
        parent = spec.options.get("parent", "")
        with Netlink() as netlink:
            owned = bool(parent) and "." in parent and not netlink.index(parent)
        return replace(
            state,
            parent=parent or f"dm-{state.id[:12]}",
            owns_parent=owned or not parent,
            mode=_mode(spec),
            mtu=mtu_of(spec),
        )

    def check_conflicts(self, state: NetworkState) -> None:
        """Raise NetworkError when the kernel has no such links, or the machine no such parent."""
        with Netlink() as netlink:
            for kind in self._kinds(state):
                _check_kind(state, kind, netlink)
            if not state.owns_parent and not netlink.index(state.parent):
                raise NetworkError(
                    f"network {state.name}: create: the parent interface {state.parent} was not found on this machine",
                    hint="-o parent= (driver_opts: parent) takes one of those that `ip link` shows, or NAME.VLAN",
                )
            if state.owns_parent and "." in state.parent:
                _vlan(state, netlink)

    def _kinds(self, state: NetworkState) -> tuple[str, ...]:
        if not state.owns_parent:
            return (self.kind,)
        return (self.kind, "vlan" if "." in state.parent else "dummy")

    def ensure(self, state: NetworkState) -> None:
        """Make the parent if it is the network's own. Raises NetworkError."""
        if not state.owns_parent:
            return
        with Netlink() as netlink:
            batch = netlink.batch()
            if "." in state.parent:
                link, number = _vlan(state, netlink)
                wanted = NewLink(
                    name=state.parent,
                    kind="vlan",
                    parent=link,
                    alias=link_alias(state.project),
                    settings=(number,),
                )
            else:
                wanted = NewLink(name=state.parent, kind="dummy", alias=link_alias(state.project))
            batch.create_link(wanted)
            (failure,) = batch.commit_each()
            if failure is not None and not failed_with(failure, errno.EEXIST):
                raise failure
            batch.set_up(state.parent)
            batch.commit()

    def links(self, state: NetworkState) -> Sequence[str]:
        """Return the parent, if it was made for the network."""
        return (state.parent,) if state.owns_parent else ()

    def link_name(self, _container_id: str, _network: str) -> str:
        """Return "": the interface is in the container only."""
        return ""

    def add_interfaces(
        self, host: Netlink, container: Netlink, netns_fd: int, endpoints: Sequence[EndpointState]
    ) -> None:
        """Make each endpoint's interface, unless it is there. Raises NetworkError."""
        batch = host.batch()
        for endpoint in endpoints:
            network, attachment = endpoint.network, endpoint.attachment
            if container.index(attachment.interface):
                continue
            index = host.index(network.parent)
            if not index:
                raise NetworkError(f"network {network.name}: connect: its parent {network.parent} is gone")
            batch.create_link(
                NewLink(
                    name=attachment.interface,
                    kind=self.kind,
                    parent=index,
                    mac=attachment.mac,
                    mtu=network.mtu,
                    netns_fd=netns_fd,
                    settings=_SETTINGS[network.driver](network.mode),
                )
            )
        batch.commit()

    def announce(self, _host: Netlink, container: Netlink, endpoints: Sequence[EndpointState]) -> None:
        """Tell the neighbours whose the addresses are."""
        announcements = container.batch()
        for endpoint in endpoints:
            if endpoint.attachment.mac:
                announcements.announce(endpoint.attachment.interface, endpoint.attachment.mac)
        announcements.commit()


def _macvlan(mode: str) -> tuple[int, ...]:
    return (MACVLAN_MODES[mode],)


def _ipvlan(mode: str) -> tuple[int, ...]:
    kind, _, flag = mode.partition("/")
    return IPVLAN_MODES[kind], IPVLAN_FLAGS[flag]


_SETTINGS = {"macvlan": _macvlan, "ipvlan": _ipvlan}


def _mode(spec: NetworkSpec) -> str:
    """Return the mode of macvlan's interfaces, or mode and flag of ipvlan's ("l2/bridge")."""
    if spec.driver == "macvlan":
        return spec.options.get("macvlan_mode") or "bridge"
    return f"{spec.options.get('ipvlan_mode') or 'l2'}/{spec.options.get('ipvlan_flag') or 'bridge'}"


def _check_kind(state: NetworkState, kind: str, netlink: Netlink) -> None:
    """Raise NetworkError when the kernel has no links of a kind; it loads the module if there is one."""
    batch = netlink.batch()
    # A multicast address is refused by those that it has, so that nothing is ever made.
    batch.create_link(NewLink(name="pc-probe", kind=kind, mac="01:00:00:00:00:00"))
    (failure,) = batch.commit_each()
    if failed_with(failure, errno.EOPNOTSUPP):
        module = _MODULES.get(kind, kind)
        other = "; or name a parent: -o parent=eth0" if kind == "dummy" else ""
        raise NetworkError(
            f"network {state.name}: create: this kernel has no {kind} links",
            hint=f"load the module, where it is installed: modprobe {module}{other}",
        ) from failure


def _vlan(state: NetworkState, netlink: Netlink) -> tuple[int, int]:
    """Return the index of the link that the VLAN `state.parent` is on, and its number. Raises NetworkError."""
    link, _, text = state.parent.rpartition(".")
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_VLAN or len(state.parent) > IFNAMSIZ:
        raise NetworkError(
            f"network {state.name}: parent: {state.parent!r} is neither an interface of this machine nor LINK.VLAN",
            hint=f"a VLAN has a number from 1 to {MOST_VLAN}",
        )
    index = netlink.index(link)
    if not index:
        raise NetworkError(
            f"network {state.name}: create: there is no link {link} for the VLAN {state.parent}"
        )
    return index, number
