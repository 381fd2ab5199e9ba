"""Volumes and networks: who uses them, how large they are, which snapshots there are. Read when somebody looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.api.errors import ApiError
from pycompose.client import changes
from pycompose.client.options import StartOptions, StopOptions
from pycompose.labels import PROJECT
from pycompose.machine import networks, volume_snapshots, volumes
from pycompose.machine.rows import directory_bytes
from pycompose.networking.model import PREDEFINED
from pycompose.state.users import all_containers, volume_users

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.page.rows import Row


def resources(context: Context, project: str) -> Row:
    """Return `{"volumes", "networks"}` of one project, or ("") of the machine; sizes are bytes on the disk.

    Of the `users` those that don't run are `idle`.
    """
    idle = {container.name for container in all_containers(context.paths) if not container.running}
    rows = {"volumes": volume_rows(context, project), "networks": network_rows(context, project)}
    for row in (*rows["volumes"], *rows["networks"]):
        row["idle"] = [name for name in row["users"] if name in idle]
    return rows


def volume_rows(context: Context, project: str) -> list[Row]:
    """Return the volumes, each with its users, its size, and its snapshots."""
    filters = [f"label={PROJECT}={project}"] if project else []
    snapshots: dict[str, list[Row]] = {}
    for shot in volume_snapshots.rows(context):
        row = {"tag": shot.tag, "at": shot.created_ns // 1_000_000, "size": shot.size_bytes}
        snapshots.setdefault(shot.volume, []).append(row)
    return [
        {
            "name": row.name,
            "project": row.labels.get(PROJECT, ""),
            "driver": row.driver,
            "users": list(row.users),
            "size": directory_bytes(Path(row.mountpoint)),
            "snapshots": snapshots.get(row.name, []),
        }
        for row in volumes.rows(context, filters)
    ]


def network_rows(context: Context, project: str) -> list[Row]:
    """Return the networks, each with its users and what it is."""
    filters = [f"label={PROJECT}={project}"] if project else []
    return [
        {
            "name": row.name,
            "project": row.labels.get(PROJECT, ""),
            "driver": row.driver,
            "internal": row.internal,
            "users": list(row.users),
        }
        for row in networks.rows(context, filters)
        if row.users or row.name not in PREDEFINED
    ]


def snapshot(context: Context, project: str, volume: str, tag: str) -> None:
    """Remember what a volume of a project holds. Raises ApiError, PycomposeError."""
    _check_owner(context, project, volume)
    volume_snapshots.take(context, volume, tag)


def restore(context: Context, project: str, volume: str, tag: str) -> None:
    """Put back what a snapshot has; services of the project that use the volume are stopped for it, and started again.

    Raises ApiError, PycomposeError.
    """
    _check_owner(context, project, volume)
    running = {
        one.service
        for one in volume_users(context.paths).get(volume, [])
        if one.config.project == project and one.running
    }
    services = tuple(sorted(running))
    if services:
        changes.stop(context, project, None, StopOptions(services=services))
    try:
        volume_snapshots.restore(context, volume, tag)
    finally:
        if services:
            changes.start(context, project, None, StartOptions(services=services))


def _check_owner(context: Context, project: str, volume: str) -> None:
    """Raise ApiError unless the volume is there, and the project's."""
    if volume not in {row.name for row in volumes.rows(context, [f"label={PROJECT}={project}"])}:
        raise ApiError(404, f"volume {volume}: not one of project {project}")
