"""GET /events: what happens to containers, images, networks and volumes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pycompose.api import query
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, dumps
from pycompose.client.events import event_view, journal, resource_view
from pycompose.client.query_options import EventsOptions
from pycompose.engine.journal import past
from pycompose.events import ContainerEvent
from pycompose.machine.system import event_document, event_test
from pycompose.state.snapshot import projects

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pycompose.api.hub import Happening

_NS = 1_000_000_000
SHOWN = EventsOptions(oneoffs=True, own_labels=True)


def events(call: ApiCall) -> ApiAnswer:
    """GET /events: the journals from `since` on, then what comes, until `until`."""
    wanted = event_test(query.filters(call))
    since_ns, until_ns = query.moment(call, "since"), query.moment(call, "until")

    def shown(event: Happening) -> bytes:
        view = event_view(event, SHOWN) if isinstance(event, ContainerEvent) else resource_view(event)
        return dumps(event_document(view)) if wanted(view) else b""

    async def flow() -> AsyncGenerator[bytes, None]:
        async with call.services.events.listen(call.scope) as queue:
            # Read after the subscription: what happens meanwhile is in both, and told once.
            before = await asyncio.to_thread(_past, call, since_ns) if since_ns else []
            last_ns = {event.id: event.time_ns for event in before}
            for event in before:
                if not until_ns or event.time_ns <= until_ns:
                    yield shown(event)
            while (left_s := _left_s(until_ns)) is None or left_s > 0:
                try:
                    event = await asyncio.wait_for(queue.get(), left_s)
                except TimeoutError:
                    return
                if event.action == "die":
                    await call.services.followers.end(event.id, event.time_ns)
                if event.time_ns > last_ns.get(event.id, 0) and (not until_ns or event.time_ns <= until_ns):
                    yield shown(event)

    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), flow=flow)


def _left_s(until_ns: int) -> float | None:
    return max((until_ns - time.time_ns()) / _NS, 0.0) if until_ns else None


def _past(call: ApiCall, since_ns: int) -> list[Happening]:
    context = call.context
    found: list[Happening] = []
    if not call.scope:
        found += [event for event in past(context.paths) if event.time_ns >= since_ns]
    found += [
        event
        for project in ([call.scope] if call.scope else projects(context.paths))
        for event in journal(context, project)
        if event.time_ns >= since_ns
    ]
    return sorted(found, key=lambda event: event.time_ns)
