"""Volumes that exist but aren't what the compose file says: warned of, and made anew when somebody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import VolumeInUse
from pycompose.events import Event, Phase
from pycompose.labels import CONFIG_HASH, PROJECT
from pycompose.state.users import volume_users
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.model import Project, Volume


def stale_volumes(context: Context, project: Project, services: Iterable[str], *, yes: bool) -> list[str]:
    """Return the keys of the services' volumes whose data is to be given up for what the file says now.

    Asks for each, unless `yes`. Warns of volumes that aren't the project's. Raises VolumeInUse when containers of
    other projects use one.
    """
    used = {
        volume.source
        for name in services
        for volume in project.services[name].volumes
        if volume.kind == "volume" and volume.source
    }
    doomed = []
    for key in sorted(used):
        volume = project.volumes[key]
        if not volume.external and _differs(context, project, volume):
            question = (
                f'Volume "{volume.name}" exists but doesn\'t match configuration in compose file. '
                "Recreate (data will be lost)?"
            )
            if yes or context.confirm(question):
                _refuse_shared(context, project, volume)
                doomed.append(key)
    return doomed


def _differs(context: Context, project: Project, volume: Volume) -> bool:
    """Tell whether the project made the volume from another configuration; warn when somebody else made it."""
    state = VolumeStore(context.paths).get(volume.name)
    if state is None:
        return False
    maker = state.labels.get(PROJECT)
    if maker != project.name:
        how = (
            "was not created by pycompose"
            if maker is None
            else f'was created for project "{maker}" (expected "{project.name}")'
        )
        text = (
            f'volume "{volume.name}" already exists but {how}. Use `external: true` to use an existing volume'
        )
        context.sink(Event(subject="", text=text, phase=Phase.WARNING))
    return state.labels.get(CONFIG_HASH, volume.hash) != volume.hash


def _refuse_shared(context: Context, project: Project, volume: Volume) -> None:
    others = [
        container.name
        for container in volume_users(context.paths).get(volume.name, ())
        if container.config.project != project.name
    ]
    if others:
        raise VolumeInUse(
            f"volume {volume.name}: in use by {', '.join(others)}", hint="remove the containers first"
        )
