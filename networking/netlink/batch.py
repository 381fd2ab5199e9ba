"""Several requests to rtnetlink(7) at once, each with what to say when it fails."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError, doctor_row
from pycompose.networking.netlink import newlink, requests
from pycompose.networking.netlink.messages import LACKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycompose.networking.netlink.requests import PeerSpec


class Batch:
    """Requests that are sent together, each with what to say when it fails and which errors don't count."""

    def __init__(self, exchange: Callable[[Sequence[bytes]], list[tuple[int, str]]]) -> None:
        """`exchange` sends requests and returns errno (0: done) and the kernel's words for each."""
        self._exchange = exchange
        self._messages: list[bytes] = []
        self._what: list[tuple[str, frozenset[int]]] = []

    def _add(self, data: bytes, what: str, ignore: Sequence[int] = ()) -> None:
        self._messages.append(data)
        self._what.append((what, frozenset(ignore)))

    def create_bridge(self, name: str, *, mac: str, mtu: int, group: int) -> None:
        """Create a bridge in the link group `group`; no error when the name exists."""
        data = requests.new_bridge(name=name, mac=mac, mtu=mtu, group=group)
        self._add(data, f"bridge {name}: create", (errno.EEXIST,))

    def create_veth(self, name: str, *, mac: str, mtu: int, master: int, peer: PeerSpec) -> None:
        """Create a veth pair: `name` here, a port of the bridge `master` (index); `peer` in its namespace.

        Fails with EEXIST when `name` exists. Neither end is up: IFF_UP for the peer would be ENOTCONN.
        """
        data = requests.new_veth(name=name, mac=mac, mtu=mtu, master=master, peer=peer)
        self._add(data, f"veth {name} and its peer {peer.name}: create")

    def create_link(self, link: newlink.NewLink) -> None:
        """Create a link of any other kind. Fails with EEXIST when its name exists, EOPNOTSUPP for an unknown kind."""
        self._add(newlink.encode(link), f"{link.kind} {link.name}: create")

    def set_mtu(self, name: str, mtu: int) -> None:
        """Give a link an MTU, in bytes."""
        self._add(requests.set_mtu(name, mtu), f"link {name}: set the MTU {mtu}")

    def set_port(self, name: str, *, alias: str, isolated: bool, ipv6: bool = True) -> None:
        """Bring a bridge port up: hairpin on, nothing learnt, no IPv6 address, maybe `isolated` from other ports."""
        data = requests.port_up(name, alias=alias, isolated=isolated, ipv6=ipv6)
        self._add(data, f"veth {name}: set up as a bridge port")

    def set_bridge(self, name: str, *, alias: str, link_local: bool | None) -> None:
        """Name a bridge for `ip link` readers and bring it up; `link_local` is None where it is without IPv6."""
        data = requests.bridge_up(name, alias=alias, link_local=link_local)
        self._add(data, f"bridge {name}: set up")

    def add_forwarding(self, port: str, index: int, mac: str) -> None:
        """Have the bridge send what is for `mac` to its port `index`, and nowhere else: it learns of no frame."""
        self._add(requests.bridge_entry(index, mac), f"veth {port}: add {mac} to its bridge")

    def pin_neighbour(self, link: str, index: int, address: str, mac: str) -> None:
        """Say whose hardware address an IP address has, so that nobody else is believed."""
        self._add(requests.permanent_neighbour(index, address, mac), f"link {link}: pin {address}")

    def set_up(self, name: str) -> None:
        """Bring a link up."""
        self._add(requests.link_up(name), f"link {name}: set up")

    def sync_carrier(self, name: str) -> None:
        """Make the kernel act on a new carrier now: start sending, and let the bridge forward.

        Otherwise a work queue does so a little later, and what is sent until then is lost. Asking for one link
        waits for it since Linux 6.8 (linkwatch_sync_dev).
        """
        self._add(requests.get_link(name), f"link {name}: synchronize carrier")

    def announce(self, name: str, mac: str) -> None:
        """Set the MAC address that a link has: the kernel then announces its addresses (arp_notify)."""
        self._add(requests.set_mac(name, mac), f"link {name}: announce")

    def delete_link(self, name: str) -> None:
        """Delete a link; no error when there is none."""
        self._add(requests.delete_link(name), f"link {name}: delete", (errno.ENODEV,))

    def set_group(self, name: str, group: int) -> None:
        """Put a link into a group; no error when there is no such link."""
        self._add(requests.set_group(name, group), f"link {name}: set group", (errno.ENODEV,))

    def delete_group(self, group: int) -> None:
        """Delete all links of a group; no error when it has none."""
        self._add(requests.delete_group(group), f"link group {group}: delete", (errno.ENODEV,))

    def add_address(self, link: str, index: int, address: str, prefix: int) -> None:
        """Give the link `index` (`link` in errors) an address; an IPv6 one is usable at once (no DAD)."""
        self._add(requests.new_address(index, address, prefix), f"link {link}: add {address}/{prefix}")

    def add_default_route(self, link: str, index: int, gateway: str) -> None:
        """Route everything of the gateway's family through it, replacing another default route."""
        self._add(requests.default_route(index, gateway), f"link {link}: add default route by {gateway}")

    def add_default_link(self, link: str, index: int, family: int) -> None:
        """Route everything of an address family over the link itself, replacing another default route."""
        self._add(requests.default_link(index, family), f"link {link}: add default route")

    def add_link_route(self, link: str, index: int, subnet: str, source: str) -> None:
        """Lead to `subnet` over the link itself, as the kernel does it when an address is added."""
        self._add(requests.link_route(index, subnet, source), f"link {link}: add route to {subnet}")

    def set_master(self, name: str, master: int) -> None:
        """Make a link a port of the bridge `master` (index), as it mostly is."""
        self._add(requests.set_master(name, master), f"veth {name}: make a port of its bridge")

    def commit(self) -> None:
        """Send everything. Raises NetworkError for the first that failed; later ones were tried too."""
        for failure in self.commit_each():
            if failure is not None:
                raise failure

    def commit_each(self) -> list[NetworkError | None]:
        """Send everything and return the failure, or None, of each request in order."""
        if not self._messages:
            return []
        try:
            answers = self._exchange(self._messages)
        except OSError as exc:
            raise NetworkError(f"{self._what[0][0]}: rtnetlink: {os.strerror(exc.errno or 0)}") from exc
        results: list[NetworkError | None] = []
        for (what, ignore), (code, words) in zip(self._what, answers, strict=True):
            if code and code not in ignore:
                failure = NetworkError(
                    f"{what}: {words}", hint=doctor_row("network devices") if code in LACKS else None
                )
                failure.__cause__ = OSError(code, os.strerror(code))
                results.append(failure)
            else:
                results.append(None)
        self._messages, self._what = [], []
        return results


def failed_with(failure: NetworkError | None, code: int) -> bool:
    """Tell whether a request failed with the errno `code`."""
    return failure is not None and isinstance(failure.__cause__, OSError) and failure.__cause__.errno == code
