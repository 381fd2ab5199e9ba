"""`wait`: the ends of containers, as they come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pycompose.client.supervisor import POLL_S
from pycompose.client.views import Waited
from pycompose.engine.errors import NoSuchContainer
from pycompose.engine.state import Status
from pycompose.errors import NotRunning
from pycompose.ipc.client import connect, connect_or_start
from pycompose.ipc.messages import ResultMessage, StoppedMessage
from pycompose.ipc.requests import WaitRequest
from pycompose.state.snapshot import observe_containers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import WaitOptions


def wait(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Yield each container of the services when it has stopped; a supervisor that dies meanwhile has a successor."""
    told: set[str] = set()
    while True:
        try:
            for waited in _wait(context, project_name, options):
                if waited.container_id not in told:
                    told.add(waited.container_id)
                    yield waited
        except NotRunning:
            time.sleep(POLL_S)
            continue
        return


def _wait(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Ask one supervisor; raises NotRunning when it dies before it has told all."""
    try:
        connection = connect(context.paths, project_name)
    except NotRunning:
        found, _ = observe_containers(context.paths, project_name)
        if not any(c.state.status in (Status.RUNNING, Status.PAUSED) for c in found):
            yield from _already_ended(context, project_name, options)
            return
        connection = connect_or_start(context.paths, project_name)
    with connection:
        connection.send(WaitRequest(services=options.services))
        while True:
            message, _ = connection.receive()
            if isinstance(message, StoppedMessage):
                stopped = message.waited
                yield Waited(
                    container_id=stopped.id,
                    container=stopped.name,
                    service=stopped.service,
                    exit_code=stopped.code,
                )
            elif isinstance(message, ResultMessage):
                return


def _already_ended(context: Context, project_name: str, options: WaitOptions) -> Iterator[Waited]:
    """Without a supervisor nothing runs: what there is has stopped."""
    found, _ = observe_containers(context.paths, project_name)
    chosen = [c for c in found if c.service in options.services and not c.oneoff]
    if not chosen:
        raise NoSuchContainer(
            f"service {options.services[0]}: no container exists", hint="see `pycompose ps -a`"
        )
    for container in chosen:
        yield Waited(
            container_id=container.id,
            container=container.name,
            service=container.service,
            exit_code=container.state.exit_code,
        )
