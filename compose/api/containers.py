"""GET /containers/…: what there is to see of them."""

from __future__ import annotations

from typing import Any

from pycompose.api import query
from pycompose.api.container_rows import rendered, sized_rows
from pycompose.api.errors import ApiError
from pycompose.api.http import JSON_TYPE, ApiAnswer, ApiCall, answer
from pycompose.engine.errors import StateError
from pycompose.machine import containers
from pycompose.machine.inspect_container import container
from pycompose.networking.model import DEFAULT_BRIDGE

# The version of the API that no longer has them (moby getContainersByName).
IDS_NO_ALIASES = (1, 45)
_KINDS = {"C": 0, "A": 1, "D": 2}


def listing(call: ApiCall) -> ApiAnswer:
    """GET /containers/json."""
    limit = query.number(call, "limit")
    newest = limit if limit is not None and limit > 0 else None
    everything = query.flag(call, "all") or newest is not None
    views = containers.views(call.context, everything=everything, filters=query.filters(call))
    if call.scope:
        views = [view for view in views if view.project == call.scope]
    shown = views[:newest]
    if query.flag(call, "size"):
        return answer(sized_rows(call.context, shown))
    return ApiAnswer(headers=(("Content-Type", JSON_TYPE),), body=rendered(call.context, shown))


def inspect(call: ApiCall) -> ApiAnswer:
    """GET /containers/NAME/json."""
    sized = query.flag(call, "size")
    document = container(call.context, call.names[0], size=sized)
    if sized:
        view = containers.view(call.context, call.names[0])
        document["SizeRootFs"] = containers.sizes(call.context, [view])[0][1]
    if call.version < IDS_NO_ALIASES:
        _add_id(document)
    document["ExecIDs"] = call.services.execs.of(document["Id"]) or None
    return answer(document)


def _add_id(document: dict[str, Any]) -> None:
    """Put the id among the aliases on networks that have names, as older clients know it."""
    for name, endpoint in document["NetworkSettings"]["Networks"].items():
        if name not in (DEFAULT_BRIDGE, "host", "none"):
            aliases = [*(endpoint["Aliases"] or ()), document["Id"][:12]]
            endpoint["Aliases"] = list(dict.fromkeys(aliases))


def changes(call: ApiCall) -> ApiAnswer:
    """GET /containers/NAME/changes."""
    found: list[dict[str, Any]] = [
        {"Path": path, "Kind": _KINDS[kind]}
        for kind, path in containers.changed_paths(call.context, call.names[0])
    ]
    return answer(found or None)


def top(call: ApiCall) -> ApiAnswer:
    """GET /containers/NAME/top: what ps(1) says of its processes."""
    found = containers.find(call.context, call.names[0])
    if not found.running:
        raise StateError(f"container {found.name} is not running")
    arguments = query.text(call, "ps_args", "-ef").split()
    if any("/" in word for word in arguments):
        raise ApiError(400, "ps_args: no paths")
    titles, *lines = containers.ps_table(call.context, found, arguments)
    return answer({"Titles": titles, "Processes": lines})
