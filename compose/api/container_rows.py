"""Containers as GET /containers/json lists them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pycompose.api.http import dumps
from pycompose.cli.display import humanize
from pycompose.machine import containers
from pycompose.machine.inspect_endpoints import network_states, shown_endpoint
from pycompose.state.memory import Derived

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycompose.client.context import Context
    from pycompose.client.views import ContainerView
    from pycompose.networking.model import NetworkState

Json = dict[str, Any]
_NS = 1_000_000_000


def sized_rows(context: Context, views: Iterable[ContainerView]) -> list[Json]:
    """Return the rows of containers with what these have written, which takes a walk through their files."""
    found = list(views)
    states = network_states(context)
    now_ns = time.time_ns()
    listed = []
    for view, (written, whole) in zip(found, containers.sizes(context, found), strict=True):
        row = _row(context, view, states) | {"Status": humanize.status(view, now_ns)}
        listed.append({**row, "SizeRw": written, "SizeRootFs": whole})
    return listed


def rendered(context: Context, views: Iterable[ContainerView]) -> bytes:
    """Return the rows of containers as JSON, of which only what changes with time is made anew each time."""
    states = network_states(context)
    now_ns = time.time_ns()
    parts = []
    for view in views:
        sources = (view, *(states.get(name) for name in view.networks))
        head, tail = _halves.value(view.id, sources, partial(_rendered, context, view, states))
        parts.append(b"%b%b%b" % (head, dumps(humanize.status(view, now_ns))[:-1], tail))
    return b"[%b]\n" % b",".join(parts)


_halves: Derived[tuple[bytes, bytes]] = Derived()


def _rendered(
    context: Context, view: ContainerView, states: Mapping[str, NetworkState]
) -> tuple[bytes, bytes]:
    """Return a row as JSON, what comes before the text of its status and what after."""
    row = _row(context, view, states)
    items = list(row.items())
    place = list(row).index("Status")
    head, tail = dumps(dict(items[:place])), dumps(dict(items[place + 1 :]))
    return head.removesuffix(b"}\n") + b',"Status":', b"," + tail.removeprefix(b"{").removesuffix(b"\n")


def _row(context: Context, view: ContainerView, states: Mapping[str, NetworkState]) -> Json:
    """Return the row of a container without its status, which tells how long ago something was."""
    return {
        "Id": view.id,
        "Names": [f"/{view.name}"],
        "Image": view.image or view.image_id,
        "ImageID": view.image_id,
        "Command": humanize.command(view.command, truncate=False)[1:-1],
        "Created": view.created_ns // _NS,
        "Ports": _ports(view),
        "Labels": view.labels,
        "State": view.state,
        "Status": "",
        "HostConfig": {"NetworkMode": _mode(view)},
        "NetworkSettings": {"Networks": _networks(view, states)},
        "Mounts": _mounts(context, view),
    }


def _mode(view: ContainerView) -> str:
    return view.network_mode or (view.networks[0] if view.networks else "none")


def _ports(view: ContainerView) -> list[Json]:
    if view.network_mode == "host":  # its ports are the machine's
        return []
    found = []
    for port in view.ports:
        entry: Json = {"IP": port.host_ip} if port.host_port else {}
        entry["PrivatePort"] = port.target
        entry |= {"PublicPort": port.host_port} if port.host_port else {}
        found.append({**entry, "Type": port.protocol})
    return found


def _networks(view: ContainerView, states: Mapping[str, NetworkState]) -> Json:
    endpoints = {endpoint.network: endpoint for endpoint in view.endpoints}
    found = {}
    for name in view.networks:
        entry = shown_endpoint(endpoints.get(name), states.get(name), container_id=view.id)
        found[name] = {**entry, "Aliases": None, "DNSNames": None}
    return found


def _mounts(context: Context, view: ContainerView) -> list[Json]:
    found = []
    for mount in view.mounts:
        entry: Json = {"Type": mount.kind}
        if mount.kind == "volume":
            entry |= {"Name": mount.source, "Source": str(context.paths.volume(mount.source) / "_data")}
        else:
            entry |= {"Source": mount.source}
        entry |= {"Destination": mount.target}
        entry |= {"Driver": "local"} if mount.kind == "volume" else {}
        writable = not mount.read_only
        mode = "" if mount.kind == "volume" else "rw" if writable else "ro"
        found.append(
            {**entry, "Mode": mode, "RW": writable, "Propagation": "rprivate" if mount.kind == "bind" else ""}
        )
    return found
