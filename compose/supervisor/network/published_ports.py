"""Which host port is whose: what a container publishes, and the reservations behind it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import NetworkError, PortInUse
from pycompose.networking.model import ANY4, ANY6
from pycompose.policy.observed import PortBinding
from pycompose.state.snapshot import STANDALONE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from pycompose.model import Port
    from pycompose.networking.ports.reserve import Reservation
    from pycompose.policy.observed import ObservedContainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingContainer:
    """A container that has its host ports already, and doesn't run yet."""

    name: str
    service: str
    ports: tuple[PortBinding, ...]


def reserve_again(published: Sequence[PortBinding]) -> list[Reservation]:
    """Take the ports of a container that runs already; one that is lost by now is left out, with a warning."""
    from pycompose.networking.ports import reserve  # noqa: PLC0415 - only after a crash

    groups: dict[tuple[int, str], list[str]] = {}
    for port in published:
        groups.setdefault((port.host_port, port.protocol), []).append(port.host_ip)
    found = []
    for (number, protocol), addresses in groups.items():
        everywhere = {ANY4, ANY6} <= set(addresses)
        for host_ip in [""] if everywhere else addresses:
            try:
                found.append(reserve.reserve_port(host_ip, (number, number), protocol))
            except NetworkError as exc:
                log.warning("cannot take a published port over: %s", exc)
    return found


def missing_ports(reservations: Sequence[Reservation], published: Sequence[PortBinding]) -> list[PortBinding]:
    """Return the published ports that no reservation is of: their keeper was given only some."""
    reserved = {(item.host_port, item.protocol) for item in reservations}
    return [port for port in published if (port.host_port, port.protocol) not in reserved]


def reserve_ports(
    ports: Iterable[Port],
    default_ip: str,
    others: Sequence[Reservation] = (),
    *,
    families: Collection[int] = (4, 6),
    holder: Callable[[Port], ObservedContainer | StartingContainer | None] = lambda _port: None,
    service: str = "",
) -> tuple[list[Reservation], tuple[PortBinding, ...]]:
    """Reserve the host ports of a container in some address families, both mostly.

    A port that names no address is published on `default_ip`; `service` is whose `ports:` they are, of a compose file.

    What one of `others` is a reservation of already is taken from there, so that it is never free. Raises PortInUse,
    which names the container that `holder` finds behind the port, NetworkError; nothing new is reserved then.
    """
    from pycompose.networking.ports import reserve  # noqa: PLC0415 - most containers publish nothing

    reserved: list[Reservation] = []
    bindings: list[PortBinding] = []
    free = list(others)
    try:
        for port in ports:
            host_ip = _host_address(port.host_ip or default_ip, families)
            if host_ip is None:
                continue
            reservation = take_fitting(free, host_ip, port)
            if reservation is None:
                try:
                    reservation = reserve.reserve_port(host_ip, port.published, port.protocol)
                except PortInUse as exc:
                    if _is_own(port, bindings):
                        raise _twice(exc) from exc
                    raise _held(exc, service, holder(replace(port, host_ip=host_ip))) from exc
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


def _host_address(text: str, families: Collection[int]) -> str | None:
    """Return the address to publish on, "" for all, or None where its family has no host ports."""
    if text in ("", ANY4):
        return {(True, True): "", (True, False): ANY4, (False, True): ANY6}.get(
            (4 in families, 6 in families)
        )
    return text if (6 if ":" in text else 4) in families else None


def _is_own(port: Port, bindings: Iterable[PortBinding]) -> bool:
    """Tell whether the container itself has the one host port by now, by another line of its `ports`."""
    return any((one.host_port,) * 2 == port.published and one.protocol == port.protocol for one in bindings)


def _twice(error: PortInUse) -> PortInUse:
    what, in_use, _who = error.message.partition("already in use")
    return PortInUse(
        f"{what}{in_use} by the same container, which publishes the host port twice",
        hint="give one of the two another host port, or each an address of its own",
    )


def _held(
    error: PortInUse, service: str, container: ObservedContainer | StartingContainer | None
) -> PortInUse:
    """Return the error with the container that has the port, in place of the process that holds it for us."""
    what, in_use, who = error.message.partition("already in use")
    ours = f"(pid {os.getpid()})" in who
    place = f"services.{service}.ports" if service else ""
    if isinstance(container, StartingContainer) and ours:
        other = f"services.{container.service}.ports"
        return PortInUse(
            f"{what}{in_use} by container {container.name} of this project, which starts now",
            hint=f"{place} has one host port for several containers: give it a range, or none"
            if place == other
            else f"{place} and {other} have the same host port: give one of them another one",
        )
    if container is None and ours:
        return PortInUse(
            f"{what}{in_use} by another container of this project, which starts now",
            hint="publish another host port for one of the two",
        )
    if container is None or isinstance(container, StartingContainer):
        return error
    own = f" of project {container.config.project}" if container.config.project != STANDALONE else ""
    stop = (
        f"-p {container.config.project} stop {container.service}"
        if own
        else f"container stop {container.name}"
    )
    return PortInUse(
        f"{what}{in_use} by container {container.name}{own}",
        hint=f"end that with `pycompose {stop}`, or publish another host port"
        + (f": {place}" if place else ""),
    )


def take_fitting(free: list[Reservation], host_ip: str, port: Port) -> Reservation | None:
    """Take a reservation out of `free` that is what the service asks for, if there is one."""
    first, last = port.published or (1, 65535)
    for reservation in free:
        fits = _everywhere(reservation.host_ip) == _everywhere(host_ip)
        if fits and reservation.protocol == port.protocol and first <= reservation.host_port <= last:
            free.remove(reservation)
            return reservation
    return None


def _everywhere(host_ip: str) -> str:
    """Return the address with one word for all: without IPv6 on the machine 0.0.0.0 is that, too."""
    return "" if host_ip == ANY4 else host_ip


def target_port(reservation: Reservation, published: Sequence[PortBinding]) -> int:
    """Return the container port behind a reservation, 0 when the record doesn't know it."""
    key = (reservation.host_port, reservation.protocol)
    found = [
        p.target for p in published if (p.host_port, p.protocol) == key and p.host_ip in reservation.addresses
    ]
    return next(iter(found), 0)
