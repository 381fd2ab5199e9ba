"""`pre_start` hooks: init containers that run to completion before a service's container starts.

They share its mounts and networks and may have an image of their own. policy/startup.py decides which ones run, and
before whom. One that fails is kept, so that it can be looked at, until the next `up` of its service, or `down`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError
from pycompose.model import Health, Restart
from pycompose.supervisor.lifecycle.hooks import HookOutput
from pycompose.supervisor.lifecycle.output_pipe import OutputPipe
from pycompose.supervisor.threads import blocking

if TYPE_CHECKING:
    from pycompose.model import Hook, Service
    from pycompose.supervisor.lifecycle.hooks import Told
    from pycompose.supervisor.lifecycle.lifecycle import Lifecycle
    from pycompose.supervisor.lifecycle.tracked import TrackedContainer
    from pycompose.supervisor.runtime.containers import Runtime

# How long the last output of a container may take that has ended.
LAST_OUTPUT_S = 2.0


class InitContainerFailed(EngineError):  # noqa: N818 - as those that it derives from
    """An init container has ended badly, and is kept."""


async def run_to_end(
    lifecycle: Lifecycle, runtime: Runtime, tracked: TrackedContainer, index: int, told: Told | None
) -> None:
    """Run the container of a service's hook `index` to its end, and tell its output line by line.

    Raises InitContainerFailed with the end of the output, or what the engine says when it doesn't start.
    """
    output = HookOutput(told)
    with (
        OutputPipe(lambda data: output.take("stdout", data)) as stdout,
        OutputPipe(lambda data: output.take("stderr", data)) as stderr,
    ):
        fds = {"stdout": stdout.writing, "stderr": stderr.writing}
        await blocking(runtime.keeper.attach, tracked.config.id, **fds, patient=True, early=True)
        stdout.listen()
        stderr.listen()
        await lifecycle.start(tracked)
        await tracked.ended.wait()
        # A process that it has left behind can't hold them: all of its processes have ended with it.
        await asyncio.wait(
            [asyncio.ensure_future(p.ended.wait()) for p in (stdout, stderr)], timeout=LAST_OUTPUT_S
        )
    output.finish()
    if tracked.exit_code != 0:
        sentence = f'service "{tracked.service}" pre_start[{index}] exited with code {tracked.exit_code}'
        kept = f"(hook container {tracked.config.id[:12]} retained for inspection)"
        raise InitContainerFailed(
            f"{output.failure(sentence)} {kept}",
            hint=f"`pycompose container logs {tracked.name}` has its output; the next `up`, and `down`, remove it",
        )


def init_service(service: Service, hook: Hook) -> Service:
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
