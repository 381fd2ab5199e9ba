"""Which containers outside any compose file come back with the machine, as their restart policies ask.

Docker's rules (docs.docker.com, "Start containers automatically", and what dockerd does at its start): `always` comes
back if it was ever started, `unless-stopped` unless somebody has stopped it, `on-failure` if it ran when the machine
went down, which is a failure. `--rm` is made good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.ipc.requests import RemoveRequest, StartRequest, StopRequest
from pycompose.machine.container_changes import ask
from pycompose.state.boot import LastStatus, last_status
from pycompose.state.records import read_service
from pycompose.state.snapshot import STANDALONE
from pycompose.state.users import all_containers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.client.context import Context
    from pycompose.model import Restart
    from pycompose.policy.observed import ObservedContainer


def returns(policy: Restart, last: LastStatus | None) -> bool:
    """Tell whether a container is started with the machine."""
    if last is None:
        return False
    return {
        "always": True,
        "unless-stopped": last is not LastStatus.STOPPED,
        "on-failure": last is LastStatus.UP,
    }.get(policy.kind, False)


def boot(context: Context, told: Callable[[str], None]) -> None:
    """Start the containers outside any compose file that come back with the machine; `told` gets their names.

    Those with `--rm` are removed. Raises what could not be done, when all has been tried.
    """
    failures: list[PycomposeError] = []
    for container in _standalone(context):
        if container.running:
            continue
        request = _request(context, container)
        if request is None:
            continue
        try:
            ask(context, container, request)
        except PycomposeError as exc:
            failures.append(exc)
        else:
            told(container.name)
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("some are left", failures)


def _request(context: Context, container: ObservedContainer) -> RemoveRequest | StartRequest | None:
    """Return what is asked about a container that doesn't run, None to leave it."""
    record = read_service(context.paths, container.id)
    if record.auto_remove:
        return RemoveRequest(volumes=True)
    return (
        StartRequest() if returns(record.service.restart, last_status(context.paths, container.id)) else None
    )


def shutdown(context: Context, timeout_s: float | None) -> list[str]:
    """Stop the containers outside any compose file so that `boot` brings them back; return their names."""
    found = [container for container in _standalone(context) if container.running]
    if found:
        ids = tuple(container.id for container in found)
        ask(context, found[0], StopRequest(ids=ids, timeout_s=timeout_s, returns=True))
    return [one.name for one in found]


def _standalone(context: Context) -> list[ObservedContainer]:
    """Return the containers outside any compose file, the oldest first: a container can only join an older one."""
    found = [one for one in all_containers(context.paths) if one.config.project == STANDALONE]
    return sorted(found, key=lambda one: one.config.created_ns)
