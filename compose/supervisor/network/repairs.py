"""Putting back what somebody else has removed of the project's network: rules, bridges, routes, interfaces, forwarding.

`nft flush ruleset` is part of every `systemctl restart nftables`. The kernel tells of it (netlink/watch.py); a moment
later all that is missing is made again, and the log says so. Who removes it again and again is not fought: each time
within a minute doubles the wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.networking.driver import driver_of
from pycompose.networking.firewall.forwarding import TABLE as FORWARDING_TABLE
from pycompose.networking.firewall.rules import table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycompose.networking.api import Networking
    from pycompose.networking.model import NetworkState
    from pycompose.networking.netlink.watch import Deletion, DeletionWatch
    from pycompose.supervisor.network.attached import AttachedContainer

log = logging.getLogger(__name__)

FIRST_DELAY_S, LONGEST_DELAY_S, REMEMBERED_S = 0.1, 30.0, 60.0

# What there has to be now: the networks, and the containers on them, by id.
Expected = tuple[dict[str, "NetworkState"], "dict[str, AttachedContainer]"]


class Repairs:
    """Listens and restores for one project, on the supervisor's loop.

    `expected` tells what there has to be, and `apply` makes the project's rules; both are called from threads only, for
    they take a lock whose holder may wait for the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        networking: Networking,
        project: str,
        expected: Callable[[], Expected],
        apply: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._networking = networking
        self._tables = {table_name(project): "rules", FORWARDING_TABLE: "forwarding"}
        self._expected = expected
        self._apply = apply
        self._watch: DeletionWatch | None = None
        self._asked = self._closed = False
        self._heard: list[Deletion] = []
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Future[None] | None = None
        self._times_s: list[float] = []

    def start(self) -> None:
        """Listen from now on; from any thread, again and again."""
        if not self._asked:
            self._asked = True
            self._loop.call_soon_threadsafe(self._listen)

    def close(self) -> None:
        """Listen no more; on the loop."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            for sock in self._watch.sockets:
                self._loop.remove_reader(sock)
            self._watch.close()
            self._watch = None

    def _listen(self) -> None:
        if self._closed:
            return
        try:
            self._watch = self._networking.watch_deletions()
        except OSError as exc:
            log.warning("cannot hear of what others delete (nftables, links): %s", exc.strerror)
            return
        for sock in self._watch.sockets:
            self._loop.add_reader(sock, self._readable)

    def _readable(self) -> None:
        if self._watch is None:
            return
        self._heard += self._watch.read()
        if self._heard and self._timer is None and self._work is None:
            self._timer = self._loop.call_later(self._delay_s(), self._begin)

    def _concerned(
        self,
        deletions: Sequence[Deletion],
        networks: Mapping[str, NetworkState],
        containers: Mapping[str, AttachedContainer],
    ) -> set[str]:
        """Return what may have to be restored: "rules", "forwarding", "links"."""
        found = {self._tables.get(deletion.name, "") for deletion in deletions if deletion.kind == "table"}
        if any(deletion.kind == "unknown" for deletion in deletions):
            return {"rules", "forwarding", "links"}
        if networks and any(deletion.kind == "forwarding" for deletion in deletions):
            found.add("forwarding")
        names = _names(networks, containers)
        if any(deletion.kind != "table" and deletion.name in names for deletion in deletions):
            found |= {"links", "rules"}  # settings of a bridge go with it, and come back with the rules
        return found - {""}

    def _delay_s(self) -> float:
        now_s = time.monotonic()
        self._times_s = [then_s for then_s in self._times_s if now_s - then_s < REMEMBERED_S]
        return float(min(FIRST_DELAY_S * 2 ** len(self._times_s), LONGEST_DELAY_S))

    def _begin(self) -> None:
        self._timer = None
        heard, self._heard = self._heard, []
        self._work = self._loop.run_in_executor(None, self._restore, heard)
        self._work.add_done_callback(self._done)

    def _done(self, _work: asyncio.Future[None]) -> None:
        self._work = None
        if self._heard and not self._closed:
            self._timer = self._loop.call_later(self._delay_s(), self._begin)

    def _restore(self, deletions: Sequence[Deletion]) -> None:
        networks, containers = self._expected()
        due = self._concerned(deletions, networks, containers)
        restored = []
        try:
            if "links" in due:
                specs = {key: one.specs for key, one in containers.items() if one.specs}
                restored += self._networking.repair(networks, specs)
            if "rules" in due and networks:
                self._apply()
                restored += ["the project's rules"] if due == {"rules"} or "forwarding" in due else []
            if "forwarding" in due:
                restored += self._networking.repair_forwarding()
        except (PycomposeError, OSError) as exc:
            log.warning("cannot restore what somebody else has removed: %s", exc)
        if restored:
            self._times_s.append(time.monotonic())
            log.warning("restored what somebody else has removed: %s", "; ".join(restored))


def _names(networks: Mapping[str, NetworkState], containers: Mapping[str, AttachedContainer]) -> set[str]:
    """Return the links, addresses and routes that there have to be."""
    names: set[str] = set()
    for state in networks.values():
        names |= {*driver_of(state).links(state), state.gateway, state.gateway6, state.subnet, state.subnet6}
    for container_id, container in containers.items():
        for endpoint in container.endpoints:
            if (network := networks.get(endpoint.network)) is not None:
                names.add(driver_of(network).link_name(container_id, endpoint.network))
    return names - {""}
