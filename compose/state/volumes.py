"""The machine's volumes as plans see them, and who uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.policy.observed import ObservedResource
from pycompose.state.users import volume_users
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths


def observed_volumes(paths: StatePaths) -> dict[str, ObservedResource]:
    """Return all volumes of the machine, by name."""
    return {
        volume.name: ObservedResource.of(volume.labels, anonymous=volume.anonymous)
        for volume in VolumeStore(paths).all()
    }


def volume_strangers(paths: StatePaths, project: str) -> dict[str, tuple[str, ...]]:
    """Return volume → names of the containers of other projects that use it."""
    return {
        name: others
        for name, users in volume_users(paths).items()
        if (others := tuple(user.name for user in users if user.config.project != project))
    }
