"""`pre_start` hooks: init containers that run to completion before a service's container starts.

They share its mounts and networks and may have an image of their own. policy/startup.py decides which ones run, and
before whom. One that fails is kept, so that it can be looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import replace
from pycompose.engine.errors import EngineError
from pycompose.model import Health, Restart

if TYPE_CHECKING:
    from pycompose.model import Hook, Service


def failure(service: Service, index: int, *, name: str, exit_code: int, lines: list[str]) -> EngineError:
    """Return the error about the hook `index` whose container `name` has ended badly; `lines` are its last output."""
    what = " ".join(service.pre_start[index].command) or index
    shown = "".join(f"\n  {name} | {line}" for line in lines)
    return EngineError(
        f"service {service.name}: pre_start hook {what} exited with {exit_code}",
        hint=f"container {name} is kept; its last output:{shown}" if shown else f"container {name} is kept",
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
