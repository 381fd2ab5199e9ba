"""`pre_start` hooks: init containers that run to completion, in order, before a service's container starts.

They share its mounts and networks and may have an image of their own. One that has succeeded for a definition of the
service isn't run again, unless it says `per_replica`. One that fails is kept, so that it can be looked at.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError
from pycompose.engine.statefiles import read_json, write_json
from pycompose.model import Health, Restart
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.model import Hook, Project, Service
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.operations import Operations


class InitContainers:
    """Runs the `pre_start` hooks of containers that start for the first time."""

    def __init__(self, operations: Operations, project: Project) -> None:
        self._operations = operations
        self._path = operations.runtime.paths.project(project.name) / "hooks.json"
        self._name = project.name

    async def run(self, tracked: TrackedContainer) -> None:
        """Run the hooks of a container; raises EngineError with the last output of one that fails."""
        service = tracked.record.service
        # Replicas start at the same time, and what runs once must run before all of them.
        lock = self._operations.once.setdefault(service.name, asyncio.Lock())
        for index, hook in enumerate(service.pre_start):
            async with lock:
                key = f"{service.name}/{service.hash}/{index}"
                if hook.per_replica or key not in await blocking(self._done):
                    await self._run(service, hook, index)
                    await blocking(self._remember, key)

    async def _run(self, service: Service, hook: Hook, index: int) -> None:
        operations = self._operations
        name = f"{self._name}-{service.name}-pre-start-{index}-{secrets.token_hex(3)}"
        image = operations.mounted_image(hook.image) if hook.image else None
        tracked = await operations.create_oneoff(
            _init_service(service, hook), name=name, auto_remove=False, publish=False, image=image
        )
        await operations.lifecycle.start(tracked)
        await tracked.ended.wait()
        if tracked.exit_code != 0:
            lines = await blocking(operations.runtime.last_lines, tracked.config.id, 10)
            shown = "".join(f"\n  {name} | {line}" for line in lines)
            raise EngineError(
                f"service {service.name}: pre_start hook {' '.join(hook.command) or index} exited "
                f"with {tracked.exit_code}",
                hint=f"container {name} is kept; its last output:{shown}"
                if shown
                else f"container {name} is kept",
            )
        await operations.remove(tracked.config.id, volumes=False)

    def _done(self) -> list[str]:
        try:
            return list(read_json(self._path)["done"])
        except FileNotFoundError:
            return []

    def _remember(self, key: str) -> None:
        write_json(self._path, {"done": sorted({*self._done(), key})})


def _init_service(service: Service, hook: Hook) -> Service:
    """Return the service as its init container runs it: another command, nothing that belongs to serving."""
    environment = {key: value for key, _, value in (item.partition("=") for item in hook.environment)}
    return replace(
        service,
        command=hook.command or (None if hook.image else service.command),
        entrypoint=None if hook.image else service.entrypoint,
        environment={**service.environment, **environment},
        user=hook.user or service.user,
        working_dir=hook.working_dir or service.working_dir,
        privileged=hook.privileged or service.privileged,
        container_name="",
        hostname="",
        ports=(),
        health=Health(disable=True),
        restart=Restart(),
        pre_start=(),
        post_start=(),
        pre_stop=(),
        tty=False,
        stdin_open=False,
        extensions={},
    )
