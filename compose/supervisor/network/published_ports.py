"""Which host port is whose: what a container publishes, and the reservations behind it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError
from pycompose.policy.observed import PortBinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycompose.model import Port
    from pycompose.networking.ports.reserve import Reservation

log = logging.getLogger(__name__)


def reserve_again(published: Sequence[PortBinding]) -> list[Reservation]:
    """Take the ports of a container that runs already; one that is lost by now is left out, with a warning."""
    from pycompose.networking.ports import reserve  # noqa: PLC0415 - only after a crash

    groups: dict[tuple[int, str], list[str]] = {}
    for port in published:
        groups.setdefault((port.host_port, port.protocol), []).append(port.host_ip)
    found = []
    for (number, protocol), addresses in groups.items():
        everywhere = reserve.ANY4 in addresses
        for host_ip in [""] if everywhere else addresses:
            try:
                found.append(reserve.reserve_port(host_ip, (number, number), protocol))
            except NetworkError as exc:
                log.warning("cannot take a published port over: %s", exc)
    return found


def reserve_ports(
    ports: Iterable[Port], default_ip: str, others: Sequence[Reservation] = ()
) -> tuple[list[Reservation], tuple[PortBinding, ...]]:
    """Reserve the host ports of a container; a port that names no address is published on `default_ip`.

    What one of `others` is a reservation of already is taken from there, so that it is never free. Raises PortInUse,
    NetworkError, and nothing new is reserved then.
    """
    from pycompose.networking.ports import reserve  # noqa: PLC0415 - most containers publish nothing

    reserved: list[Reservation] = []
    bindings: list[PortBinding] = []
    free = list(others)
    try:
        for port in ports:
            host_ip = port.host_ip or default_ip
            host_ip = "" if host_ip == reserve.ANY4 else host_ip
            reservation = take_fitting(free, host_ip, port)
            if reservation is None:
                reservation = reserve.reserve_port(host_ip, port.published, port.protocol)
            reserved.append(reservation)
            bindings += [
                PortBinding(
                    host_ip=address,
                    host_port=reservation.host_port,
                    protocol=port.protocol,
                    target=port.target,
                )
                for address in reservation.addresses
            ]
    except NetworkError:
        for reservation in reserved:
            if reservation not in others:
                reservation.close()
        raise
    return reserved, tuple(bindings)


def take_fitting(free: list[Reservation], host_ip: str, port: Port) -> Reservation | None:
    """Take a reservation out of `free` that is what the service asks for, if there is one."""
    first, last = port.published or (1, 65535)
    for reservation in free:
        fits = (reservation.host_ip, reservation.protocol) == (host_ip, port.protocol)
        if fits and first <= reservation.host_port <= last:
            free.remove(reservation)
            return reservation
    return None


def target_port(reservation: Reservation, published: Sequence[PortBinding]) -> int:
    """Return the container port behind a reservation, 0 when the record doesn't know it."""
    key = (reservation.host_port, reservation.protocol)
    found = [
        p.target for p in published if (p.host_port, p.protocol) == key and p.host_ip in reservation.addresses
    ]
    return next(iter(found), 0)
