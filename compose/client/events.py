"""`events`: what happens to containers, from the journals of the projects and then live from their supervisors."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from typing import TYPE_CHECKING

from pycompose.client.supervisor import POLL_S
from pycompose.client.views import EventView
from pycompose.engine.dataclass import replace
from pycompose.engine.journal import JournalReader, past
from pycompose.errors import NotRunning
from pycompose.events import ContainerEvent
from pycompose.ipc.client import connect
from pycompose.ipc.messages import ContainerMessage
from pycompose.ipc.requests import SubscribeRequest
from pycompose.labels import PREFIX
from pycompose.state.snapshot import projects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycompose.client.context import Context
    from pycompose.client.options import EventsOptions
    from pycompose.engine.journal import ResourceEvent


def events(context: Context, project_name: str, options: EventsOptions) -> Iterator[EventView]:
    """Yield what happens to the containers: the journal from `since_ns` on, then live until `until_ns`.

    A project that isn't up yet, or that goes down and comes up again, is waited for.
    """
    last_ns = time.time_ns()
    if options.since_ns:
        for event in journal(context, project_name):
            if event.time_ns >= options.since_ns and _within(event, options):
                yield event_view(event, options)
    while not options.until_ns or time.time_ns() < options.until_ns:
        for event in _live(context, project_name, last_ns, options.until_ns):
            last_ns = max(last_ns, event.time_ns)
            if _within(event, options):
                yield event_view(event, options)
        time.sleep(POLL_S)


def all_events(context: Context, options: EventsOptions) -> Iterator[EventView]:
    """Yield what happens to the containers of all projects, also of those that come later; see `events`.

    And to images, networks and volumes.
    """
    began_ns = time.time_ns()
    reader = JournalReader(context.paths, from_now=True)
    if options.since_ns:
        yield from (
            resource_view(event) for event in past(context.paths) if event.time_ns >= options.since_ns
        )
    found: queue.SimpleQueue[EventView] = queue.SimpleQueue()
    known: dict[str, threading.Thread] = {}

    def follow(name: str, since_ns: int) -> None:
        for view in events(context, name, replace(options, since_ns=since_ns)):
            found.put(view)

    while True:
        over = bool(options.until_ns) and time.time_ns() >= options.until_ns
        for name in projects(context.paths):
            if name not in known:
                # What a new project has done before we saw it stands in its journal.
                since_ns = options.since_ns or began_ns
                known[name] = threading.Thread(target=follow, args=(name, since_ns), daemon=True)
                known[name].start()
        for event in reader.read():
            if not options.until_ns or event.time_ns <= options.until_ns:
                yield resource_view(event)
        if over:
            for thread in known.values():
                thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                yield found.get(timeout=0 if over else POLL_S)
        if over:
            return


def _live(context: Context, project_name: str, after_ns: int, until_ns: int) -> Iterator[ContainerEvent]:
    """Yield the supervisor's events after `after_ns`, until it ends or `until_ns` has come."""
    try:
        connection = connect(context.paths, project_name)
    except NotRunning:
        return
    with connection:
        connection.send(SubscribeRequest(since_ns=after_ns + 1))
        while True:
            if until_ns:
                connection.socket.settimeout(max((until_ns - time.time_ns()) / 1e9, 0.001))
            try:
                message, _ = connection.receive()
            except (TimeoutError, BlockingIOError, NotRunning):
                return
            if isinstance(message, ContainerMessage):
                yield message.container


def _within(event: ContainerEvent, options: EventsOptions) -> bool:
    """Tell whether an event is asked for; one-off containers aren't for `events` of a project, as in Compose."""
    if (event.oneoff and not options.oneoffs) or (options.until_ns and event.time_ns > options.until_ns):
        return False
    return not options.services or event.service in options.services


def journal(context: Context, project_name: str) -> Iterator[ContainerEvent]:
    """Yield what has been written down of a project's containers, oldest first."""
    directory = context.paths.project(project_name)
    for name in ("events.1", "events.jsonl"):
        with contextlib.suppress(FileNotFoundError), (directory / name).open(encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(
                    ValueError
                ):  # half a line: the disk was full, or somebody was killed
                    yield ContainerEvent.from_json(json.loads(line))


def resource_view(event: ResourceEvent) -> EventView:
    """Return what is shown of what has happened to an image, a network or a volume."""
    return EventView(
        time_ns=event.time_ns,
        action=event.action,
        container_id=event.id,
        service="",
        attributes=event.attributes,
        kind=event.kind,
    )


def event_view(event: ContainerEvent, options: EventsOptions) -> EventView:
    """Return what is shown of an event."""
    attributes = {
        key: value
        for key, value in event.attributes.items()
        if key != "restarting" and (options.own_labels or not key.startswith(PREFIX))
    }
    return EventView(
        time_ns=event.time_ns,
        action=event.action,
        container_id=event.id,
        service=event.service,
        attributes={"image": event.image, "name": event.name, **attributes},
    )
