"""The host ports of a project's containers: reserved, held by the keeper, relayed where the kernel can't redirect.

What the kernel redirects is a rule of the firewall, made out of `forwarded_ports` and `opened`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from pycompose.engine.errors import NetworkError, PycomposeError
from pycompose.state.snapshot import STANDALONE
from pycompose.state.users import in_the_way, port_holder
from pycompose.supervisor.network.attached import (
    idle_ports,
    open_ports,
    published_endpoint,
    published_families,
)
from pycompose.supervisor.network.published_ports import (
    StartingContainer,
    missing_ports,
    reserve_again,
    reserve_ports,
    target_port,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from pycompose.engine.api import Engine
    from pycompose.engine.config import ContainerConfig
    from pycompose.engine.paths import StatePaths
    from pycompose.model import Port
    from pycompose.networking.model import NetworkState
    from pycompose.networking.ports.relay import Relays
    from pycompose.networking.ports.reserve import Reservation
    from pycompose.policy.observed import ObservedContainer
    from pycompose.state.records import ServiceRecord
    from pycompose.supervisor.network.attached import AttachedContainer

    Networks = Mapping[str, NetworkState]


class Publishing:
    """Blocking; relays live on the loop. `keeper` holds copies of the sockets, under `ports/ID`, once there is one."""

    def __init__(self, paths: StatePaths, loop: asyncio.AbstractEventLoop) -> None:
        self._paths = paths
        self._loop = loop
        self._lock = threading.Lock()
        self._relays: Relays | None = None
        # By container id: those that have reserved ports in this process.
        self._reserved: dict[str, StartingContainer] = {}
        self.keeper: Engine | None = None

    def publish(
        self,
        config: ContainerConfig,
        record: ServiceRecord,
        attached: AttachedContainer,
        networks: Networks,
        others: Sequence[Reservation] = (),
    ) -> None:
        """Reserve the host ports for the container, which the rules are to hand to it; raises PortInUse, NetworkError.

        `hold` comes next. Those that one of `others` is a reservation of already are taken from there.
        """
        target = published_endpoint(attached, networks)
        if not record.service.ports:
            return
        attached.idle = idle_ports(record, target, networks[target.network] if target is not None else None)
        if target is None:
            return
        network = networks[target.network]
        try:
            attached.reservations, attached.ports = reserve_ports(
                record.service.ports,
                network.host_binding,
                others,
                families=published_families(target, network),
                holder=self._holder,
                service=record.service.name if config.project != STANDALONE else "",
            )
        except NetworkError as exc:
            raise type(exc)(f"container {config.name}: {exc}", hint=exc.hint) from exc
        self._reserved[config.id] = StartingContainer(
            name=config.name, service=record.service.name, ports=attached.ports
        )
        attached.opened = open_ports(record.service.ports, target, network)
        self.relay(attached, networks)

    def _holder(self, port: Port) -> ObservedContainer | StartingContainer | None:
        """Return who has the first host port that `port` asks for: a container that runs, or starts now in here."""
        starting = list(self._reserved.values())
        return port_holder(self._paths, port) or next(
            (one for one in starting if any(in_the_way(port, binding) for binding in one.ports)), None
        )

    def relay(self, attached: AttachedContainer, networks: Networks) -> None:
        """Serve the connections that the kernel can't redirect."""
        target = published_endpoint(attached, networks)
        for reservation in attached.reservations if target is not None else ():
            port = target_port(reservation, attached.ports)
            if target is not None and port:
                reservation.relay_to(self._shared(), target.ip, port, ip6=target.ip6)

    def _shared(self) -> Relays:
        """Return what all relays share."""
        from pycompose.networking.ports.relay import Relays  # noqa: PLC0415 - most containers publish nothing

        with self._lock:
            if self._relays is None:
                self._relays = Relays(self._loop, self._paths.relay)
            return self._relays

    def close(self) -> None:
        """Relay nothing more."""
        if self._relays is not None:
            self._relays.close()

    def redirect(self, record: ServiceRecord, attached: AttachedContainer, networks: Networks) -> None:
        """Lead what is published to where the container is now."""
        target = published_endpoint(attached, networks)
        if record.publish and record.service.ports:
            attached.idle = idle_ports(
                record, target, networks.get(target.network) if target is not None else None
            )
        if target is not None and record.publish and not attached.standby:
            attached.opened = open_ports(record.service.ports, target, networks[target.network])
        self.relay(attached, networks)

    def resume(
        self,
        container_id: str,
        record: ServiceRecord,
        attached: AttachedContainer,
        networks: Networks,
        held: frozenset[str],
    ) -> None:
        """Take the ports over of a container that runs already: from the keeper, which has `held` these keys."""
        from pycompose.networking.ports.reserve import adopt_reservations  # noqa: PLC0415 - only after a crash

        if attached.ports and self.keeper is not None and f"ports/{container_id}" in held:
            fds = self.keeper.take(f"ports/{container_id}")
            attached.reservations = adopt_reservations([socket.socket(fileno=fd) for fd in fds])
            if lost := missing_ports(attached.reservations, attached.ports):
                attached.reservations += reserve_again(lost)
                self.hold(container_id, attached)
        elif attached.ports:
            # The keeper was killed too. Until now the kernel's rules have kept the ports working.
            attached.reservations = reserve_again(attached.ports)
            self.hold(container_id, attached)
        self.redirect(record, attached, networks)

    def hold(self, container_id: str, attached: AttachedContainer) -> None:
        """Give the keeper copies of the sockets."""
        fds = [fd for reservation in attached.reservations for fd in reservation.filenos()]
        if fds and self.keeper is not None:
            self.keeper.hold(f"ports/{container_id}", fds)

    def release(self, container_id: str, attached: AttachedContainer, *, drop: bool = True) -> None:
        """Give a container's ports back; with `drop` the keeper's copies, too."""
        reserved = self._reserved.get(container_id)
        if (
            reserved is not None and reserved.ports is attached.ports
        ):  # not those of its start that comes next
            del self._reserved[container_id]
        for reservation in attached.reservations:
            reservation.close()
        attached.reservations = []
        if self.keeper is not None and attached.ports and drop:
            with contextlib.suppress(PycomposeError):
                self.keeper.drop(f"ports/{container_id}")
