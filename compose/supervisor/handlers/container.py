"""`container rename` and `container update`: a container gets another name, other limits, another restart policy.

Both last as long as the container; the next recreate makes what the compose file says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.config import Limits, from_json, plain
from pycompose.engine.dataclass import replace
from pycompose.engine.errors import NoSuchContainer
from pycompose.engine.state import Status
from pycompose.engine.statefiles import write_json
from pycompose.ipc.messages import ChangeResult
from pycompose.state.records import write_service
from pycompose.supervisor.handlers.project import sink_of, tell_warnings
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.ipc.requests import ContainersRequest, RenameRequest, UpdateRequest
    from pycompose.ipc.server import Peer
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.project import ManagedProject


class ContainerHandlers:
    """One method per operation; each answers with a result, or raises PycomposeError."""

    def __init__(self, managed: ManagedProject) -> None:
        self._managed = managed

    async def rename(self, peer: Peer, request: RenameRequest, _: list[int]) -> None:
        """Give a container another name."""
        async with self._managed.exclusive():
            await self._managed.lifecycle.rename(self._tracked(request), request.name)
        peer.answer(ChangeResult())

    async def update(self, peer: Peer, request: UpdateRequest, _: list[int]) -> None:
        """Change limits, of a running container at once, and the restart policy."""
        paths = self._managed.paths
        async with self._managed.exclusive():
            tracked = self._tracked(request)
            if limits := plain(request.limits):
                changed = {**plain(tracked.config.limits), **limits}
                config = replace(tracked.config, limits=from_json(Limits, changed))
                _check(config.limits)
                if tracked.status in (Status.RUNNING, Status.PAUSED):
                    tell_warnings(
                        sink_of(peer), tracked, await blocking(self._limit, tracked, request.limits)
                    )
                path = paths.container(config.id) / "config.json"
                await blocking(write_json, path, plain(config), durable=False)
                tracked.config = config
            if request.restart is not None:
                service = replace(tracked.record.service, restart=request.restart)
                tracked.record = replace(tracked.record, service=service)
                await blocking(write_service, paths, tracked.config.id, tracked.record)
        peer.answer(ChangeResult())

    def _limit(self, tracked: TrackedContainer, limits: Limits) -> tuple[str, ...]:
        """Write limits to the control group, return what has no effect; memory goes with what swap it has."""
        from pycompose.engine.cgroups.base import open_existing  # noqa: PLC0415 - 3 ms that only `update` needs

        own = tracked.config.limits
        if limits.memory_bytes and limits.memory_swap_bytes is None and own.memory_swap_bytes:
            limits = replace(limits, memory_swap_bytes=own.memory_swap_bytes)
        paths = self._managed.paths
        group = open_existing(paths, tracked.config.id, parent=tracked.config.cgroup_parent)
        try:
            group.update(limits)
        finally:
            group.close()
        return group.warnings

    def _tracked(self, request: ContainersRequest[Any]) -> TrackedContainer:
        (found,) = self._managed.chosen((), request.ids) or (None,)
        if found is None:
            raise NoSuchContainer(f"container {request.ids[0][:12]}: is gone")
        return found


def _check(limits: Limits) -> None:
    """Raise CgroupError for what can't be a limit here."""
    from pycompose.engine.cgroups.limits import check  # noqa: PLC0415 - as above

    check(limits)
