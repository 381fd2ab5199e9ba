"""Who gets which address: changes of one network's record, pure but for the random MAC."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.networking import ipam
from pycompose.networking.model import Attachment, EndpointSpec, Lease, NetworkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.networking.records import NetworkRecord

# "project/service/number" is a place in the project; what has more parts is one container's own.
SERVICE_KEY_SLASHES = 2

# Compiled when one is there: few containers name theirs.
_MAC = r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\Z"


def grant(
    record: NetworkRecord, spec: EndpointSpec, container_id: str, alive: Callable[[str], bool]
) -> Lease:
    """Return the lease of `spec.lease_key` in `record`, made or changed to what `spec` asks for.

    `alive(container_id)` tells whether somebody who is written down as connected still is. Raises
    NetworkError when the key, or a fixed address, belongs to a living container, and AddressesExhausted.
    """
    state = record.state
    for other, attachment in list(record.attachments.items()):
        if other == container_id or attachment.lease_key != spec.lease_key:
            continue
        if alive(other):
            raise NetworkError(
                f"network {state.name}: connect {container_id[:12]}: {spec.lease_key} is still {other[:12]}"
            )
        del record.attachments[other]
    old = record.leases.pop(spec.lease_key, Lease())
    lease = Lease(
        ip=_address(record, spec.ipv4_address, old.ip, version=4),
        ip6=_address(record, spec.ipv6_address, old.ip6, version=6),
        mac=_mac(state, spec, old.mac),
    )
    record.leases[spec.lease_key] = lease
    return lease


def attach(
    record: NetworkRecord, container_id: str, spec: EndpointSpec, *, veth: str, interface: str
) -> Attachment:
    """Write down that the container is connected under `spec.lease_key`, and return that."""
    lease = record.leases[spec.lease_key]
    attachment = Attachment(
        lease_key=spec.lease_key, veth=veth, interface=interface, ip=lease.ip, ip6=lease.ip6, mac=lease.mac
    )
    record.attachments[container_id] = attachment
    return attachment


def detach(record: NetworkRecord, container_id: str) -> None:
    """Forget that the container is connected. Its lease stays, unless the key can't come again (a one-off's)."""
    lease_key = record.attachments.pop(container_id).lease_key
    if lease_key.count("/") > SERVICE_KEY_SLASHES:
        record.leases.pop(lease_key, None)


def release(record: NetworkRecord, lease_key: str) -> bool:
    """Forget a lease that nobody is connected under; tell whether there was one."""
    if any(attachment.lease_key == lease_key for attachment in record.attachments.values()):
        return False
    return record.leases.pop(lease_key, None) is not None


def _mac(state: NetworkState, spec: EndpointSpec, old: str) -> str:
    """Return the MAC address that is asked for, or the last one, or any; "" where all have the parent's."""
    asked = check_mac(state.name, spec.mac_address)
    if state.driver != "ipvlan":
        return asked or old or ipam.random_mac()
    if asked:
        raise NetworkError(
            f"network {state.name}: mac_address {asked}: all ipvlan interfaces have their parent's"
        )
    return ""


def check_mac(network: str, text: str) -> str:
    """Return a MAC address in the kernel's spelling, "" for ""; raises NetworkError."""
    if not text:
        return ""
    if not re.match(_MAC, text):
        raise NetworkError(f"network {network}: mac_address {text!r}: not six pairs of hex digits")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1:
        raise NetworkError(f"network {network}: mac_address {text!r}: is a multicast address")
    return mac


def _address(record: NetworkRecord, asked: str, old: str, *, version: int) -> str:
    state = record.state
    subnet, ip_range, gateway, static = (
        (state.subnet, state.ip_range, state.gateway, state.static)
        if version == 4
        else (state.subnet6, state.ip_range6, state.gateway6, state.static6)
    )
    fixed = {gateway, *state.aux.values()} - {""}
    if asked:
        held = {address: name for name, address in state.aux.items()} | {gateway: "the gateway"}
        for one in record.attachments.values():
            held |= dict.fromkeys((one.ip, one.ip6), "container " + one.lease_key.replace("/", "-"))
        address = ipam.check_static(state.name, asked, subnet, held, allowed=static)
        _evict(record, address)
        return address
    if not subnet:
        return ""
    leased = {item for lease in record.leases.values() for item in (lease.ip, lease.ip6) if item}
    if old and old not in leased:
        return old
    ours = [item for item in fixed | leased if (":" in item) == (version == 6)]
    return ipam.choose_address(ipaddress.ip_network(subnet), ipaddress.ip_network(ip_range), ours)


def _evict(record: NetworkRecord, address: str) -> None:
    """Forget who has the address: a fixed one goes before a lease that is only remembered."""
    for key, lease in list(record.leases.items()):
        if address in (lease.ip, lease.ip6):
            del record.leases[key]
