"""A container's network namespace, and its interfaces on the networks that it is connected to."""

from __future__ import annotations

import _socket  # as in netlink/requests.py
import functools
import ipaddress
import os
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.engine.linux import userns
from pycompose.networking import netns
from pycompose.networking.driver import driver_of
from pycompose.networking.model import ON_LINK, ON_LINK6
from pycompose.networking.netlink.rtnetlink import Netlink

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pycompose.networking.driver import NetworkDriver
    from pycompose.networking.model import EndpointState

    Sockets = tuple[socket.socket, socket.socket]

# Docker's defaults for a new namespace. Links are born without IPv6 and get it switched on when their network has it
# (CVE-2024-32473). `arp_notify` and `ndisc_notify` let a driver's `announce` make the kernel tell the neighbours.
SYSCTLS = {
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/conf/default/arp_notify": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/ndisc_notify": "1",
}


def connect_all(
    pin: Path, endpoints: Sequence[EndpointState], open_sockets: Callable[[], Sockets] | None = None
) -> Sockets | None:
    """Make the namespace at `pin` (if missing) with loopback up, and every interface (or what is missing of it).

    `open_sockets` opens sockets in a namespace that is made now, before it has any link, and those are returned: each
    entry into a namespace costs a thread. Raises NetworkError; a second call goes on where the first one failed.
    """
    found = None
    if netns.is_pinned(pin):
        container = netns.enter(pin, Netlink)
    else:
        container, found = netns.create(pin, functools.partial(_prepare, open_sockets))
    try:
        with container, Netlink() as host:
            groups = _by_driver(endpoints)
            _add_interfaces(host, container, pin, groups)
            _configure(container, endpoints)
            for driver, group in groups:
                driver.announce(host, container, group)
    except BaseException:
        for sock in found or ():
            sock.close()
        raise
    return found


def _prepare(open_sockets: Callable[[], Sockets] | None) -> tuple[Netlink, Sockets | None]:
    netns.write_sysctls(SYSCTLS | {"ipv4/ping_group_range": userns.ping_group_range()})
    container = Netlink()
    try:
        return container, open_sockets() if open_sockets is not None else None
    except BaseException:
        container.close()
        raise


def _by_driver(endpoints: Sequence[EndpointState]) -> list[tuple[NetworkDriver, list[EndpointState]]]:
    """Return the endpoints of each driver together, so that its requests are one batch."""
    groups: dict[str, list[EndpointState]] = {}
    for endpoint in endpoints:
        groups.setdefault(endpoint.network.driver, []).append(endpoint)
    return [(driver_of(group[0].network), group) for group in groups.values()]


def _add_interfaces(
    host: Netlink, container: Netlink, pin: Path, groups: Sequence[tuple[NetworkDriver, list[EndpointState]]]
) -> None:
    if not groups:
        return
    fd = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for driver, group in groups:
            driver.add_interfaces(host, container, fd, group)
    finally:
        os.close(fd)
    endpoints = [one for _driver, group in groups for one in group]
    names = [
        one.attachment.interface
        for one in endpoints
        if one.attachment.ip6 or any(":" in address for address in one.link_local)
    ]
    wanted = [one for one in endpoints if one.sysctls]
    if names or wanted:
        keys = [f"ipv6/conf/{name}/disable_ipv6" for name in names]
        netns.enter(pin, lambda: _write_sysctls(dict.fromkeys(keys, "0"), wanted))


def _write_sysctls(ours: Mapping[str, str], endpoints: Sequence[EndpointState]) -> None:
    """Write our own settings of interfaces, then those that the user has asked for; raises NetworkError for these."""
    netns.write_sysctls(ours)
    for endpoint in endpoints:
        for key, value in endpoint.sysctls.items():
            path = key.replace("IFNAME", endpoint.attachment.interface, 1)
            try:
                netns.write_sysctls({path: value}, required=True)
            except OSError as exc:
                raise NetworkError(
                    f"network {endpoint.network.name}: sysctl net.{key.replace('/', '.')}={value}: {exc.strerror}"
                ) from exc


def _configure(container: Netlink, endpoints: Sequence[EndpointState]) -> None:
    """Add addresses, bring links up, add routes: the kernel wants links up before routes."""
    batch = container.batch()
    batch.set_up("lo")
    indexes = {one.attachment.interface: container.index(one.attachment.interface) for one in endpoints}
    for endpoint in endpoints:
        name = endpoint.attachment.interface
        for address, subnet in (
            (endpoint.attachment.ip, endpoint.network.subnet),
            (endpoint.attachment.ip6, endpoint.network.subnet6),
        ):
            if address:
                batch.add_address(name, indexes[name], address, ipaddress.ip_network(subnet).prefixlen)
        for address in endpoint.link_local:
            batch.add_address(name, indexes[name], address, 64 if ":" in address else 16)
        batch.set_up(name)
    for endpoint in endpoints:
        name = endpoint.attachment.interface
        for gateway in filter(None, (endpoint.gateway, endpoint.gateway6)):
            if gateway in (ON_LINK, ON_LINK6):
                family = _socket.AF_INET if gateway == ON_LINK else _socket.AF_INET6
                batch.add_default_link(name, indexes[name], family)
            else:
                batch.add_default_route(name, indexes[name], gateway)
    batch.commit()
