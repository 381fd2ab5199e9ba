"""Volumes that exist but aren't what the compose file says: warned of, and asked about before their data is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.events import Event, Phase
from pycompose.labels import PROJECT
from pycompose.policy.observed import ObservedResource
from pycompose.policy.resources import changed_volumes, volumes_of
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.context import Context
    from pycompose.model import Project
    from pycompose.volumes.store import VolumeState


def expendable_volumes(
    context: Context, project: Project, services: Iterable[str], *, yes: bool
) -> list[str]:
    """Return the keys of the services' volumes whose data may be lost for what the file says now.

    Asks for each, unless `yes`. Warns of volumes that aren't the project's.
    """
    chosen = [project.services[name] for name in services]
    store = VolumeStore(context.paths)
    declared = [project.volumes[key] for key in sorted(volumes_of(chosen))]
    found = [state for item in declared if not item.external and (state := store.get(item.name)) is not None]
    for state in found:
        _warn_of_foreign(context, project, state)
    doomed = []
    for volume in changed_volumes(
        project, chosen, {state.name: ObservedResource.of(state.labels) for state in found}
    ):
        question = (
            f'Volume "{volume.name}" exists but doesn\'t match configuration in compose file. '
            "Recreate (data will be lost)?"
        )
        if yes or context.confirm(question):
            doomed.append(volume.key)
    return doomed


def _warn_of_foreign(context: Context, project: Project, state: VolumeState) -> None:
    """Warn of a volume that somebody else has made."""
    maker = state.labels.get(PROJECT)
    if maker == project.name:
        return
    how = (
        "was not created by pycompose"
        if maker is None
        else f'was created for project "{maker}" (expected "{project.name}")'
    )
    text = f'volume "{state.name}" already exists but {how}. Use `external: true` to use an existing volume'
    context.sink(Event(subject="", text=text, phase=Phase.WARNING))
