"""What the page is told of containers and projects: plain values for JSON, made from their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pycompose.client.listings import container_view
from pycompose.labels import DEPENDS_ON
from pycompose.page.condition import container_condition
from pycompose.page.picture import GraphBox, curve, sizes_for
from pycompose.policy.layout import lay_out
from pycompose.state.snapshot import observe_containers, read_container

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.policy.observed import ObservedContainer, PortBinding

Row = dict[str, Any]
# What a service can't be without to start, in words; the label has Compose's (`db:service_healthy:false`).
WANTED = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
_MOST_OUTPUT = 2000
_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_MS = 1_000_000


def container_rows(context: Context, project: str) -> dict[str, Row]:
    """Return all containers of a project by their ids."""
    found, _ = observe_containers(context.paths, project)
    return {container.id: container_row(context, container) for container in found}


def one_row(context: Context, container_id: str) -> Row | None:
    """Return one container as it is now, None when there is none (any more)."""
    container = read_container(context.paths, container_id)
    return container_row(context, container) if container is not None else None


def container_row(context: Context, container: ObservedContainer) -> Row:
    """Return what is shown of a container; times are milliseconds since 1970, as browsers have them."""
    view = container_view(context, container)
    look = container_condition(view)
    return {
        "id": view.id,
        "name": view.name,
        "service": view.service or view.name,
        "number": view.number,
        "oneoff": view.oneoff,
        "tone": look.tone,
        "words": look.words,
        "state": view.state,
        "health": view.health,
        "probe": _probe(container.health) if view.health else None,
        "restarts": view.restart_count,
        "image": view.image,
        "created": view.created_ns // _MS,
        "started": view.started_ns // _MS,
        "finished": view.finished_ns // _MS,
        "ports": [_port(port) for port in view.ports if port.host_port],
        "networks": list(view.networks),
        "volumes": [mount.source for mount in view.mounts if mount.kind == "volume"],
        "needs": needs(view.labels.get(DEPENDS_ON, "")),
    }


def needs(label: str) -> list[dict[str, str]]:
    """Return what the label of a container's dependencies says: each service, and what it has to be."""
    found = []
    for item in label.split(","):
        service, _, rest = item.partition(":")
        if service:
            condition = rest.partition(":")[0]
            found.append({"service": service, "condition": WANTED.get(condition, "started")})
    return found


def graph(rows: Iterable[Row]) -> Row:
    """Return where services and the arrows between them stand; conditions and states are drawn by the page."""
    needed: dict[str, dict[str, str]] = {}
    for row in rows:
        if not row["oneoff"]:
            found = needed.setdefault(row["service"], {})
            found |= {need["service"]: need["condition"] for need in row["needs"]}
    sizes = sizes_for([GraphBox(name=name, note="exited (143), restarting") for name in needed])
    layout = lay_out(needed, sizes)
    return {
        "width": layout.width,
        "height": layout.height,
        "box": [sizes.width, sizes.height],
        "boxes": layout.boxes,
        "arrows": [
            {"from": source, "to": target, "path": curve(points), "end": points[-2:],
             "condition": needed[source][target]}
            for (source, target), points in layout.arrows.items()
        ],
    }  # fmt: skip


def _probe(health: Mapping[str, Any]) -> Row | None:
    """Return the last probe: its code, what it has printed, and how many have failed in a row."""
    results = health.get("results") or ()
    if not results:
        return None
    last = results[-1]
    return {
        "code": last.get("exit_code", 0),
        "output": str(last.get("output", ""))[:_MOST_OUTPUT],
        "failed": health.get("failing_streak", 0),
        "ended": int(last.get("end_ns", 0)) // _MS,
    }


def _port(port: PortBinding) -> Row:
    """Return a published port, and where a browser finds it if it is TCP."""
    host = "127.0.0.1" if port.host_ip in _ANYWHERE else port.host_ip
    shown = f"[{host}]" if ":" in host else host
    link = f"http://{shown}:{port.host_port}/" if port.protocol == "tcp" else ""
    return {"text": f"{port.host_port}→{port.target}/{port.protocol}", "link": link}
