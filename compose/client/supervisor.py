"""Reaching a project's supervisor: the one that there is, or the one that was started while the file was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pycompose.config.options import working_directory
from pycompose.engine.errors import ExecError
from pycompose.ipc import spawn
from pycompose.ipc.client import Connection, StartingSupervisor, connect_or_start
from pycompose.state.snapshot import applied, projects

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.events import Sink
    from pycompose.ipc.requests import SupervisorRequest

# How often a project without a supervisor is looked at: nothing in the kernel tells that one will begin to listen.
POLL_S = 0.2

R = TypeVar("R")

_prepared: list[StartingSupervisor] = []


def prepare(context: Context, project_name: str | None = None) -> None:
    """Start a supervisor that will be given its project later, unless one seems to be there already.

    Its imports take longer than reading a compose file; this way both happen at the same time. Does nothing when the
    project (or, without a name, the project of the working directory) has a supervisor.
    """
    if spawn.waiting:
        _prepared.append(StartingSupervisor(spawn.waiting.pop()))
        return
    here = working_directory(context.environment)
    for name in projects(context.paths):
        if not context.paths.control_socket(name).exists():
            continue
        if name == project_name or (
            project_name is None and applied(context.paths, name).get("directory") == here
        ):
            return
    _prepared.append(StartingSupervisor.spawn(context.paths))


def reach(context: Context, project_name: str, *, keeper: bool = False) -> Connection:
    """Return a connection to the project's supervisor, by the one that `prepare` has started if it needs one.

    With `keeper` a new supervisor starts its keeper at once, as it will need it.
    """
    starting = _prepared.pop() if _prepared else None
    return connect_or_start(context.paths, project_name, starting, keeper=keeper)


def call(connection: Connection, request: SupervisorRequest[R], sink: Sink) -> R:
    """Perform an operation whose failure is exit code 1 whatever it was; 126 and 127 are for `exec` and `run`."""
    try:
        return connection.call(request, sink)[0]
    except ExecError as exc:
        exc.exit_code = 1
        raise
