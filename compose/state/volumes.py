"""From which configuration the machine's volumes were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.labels import CONFIG_HASH
from pycompose.volumes.store import VolumeStore

if TYPE_CHECKING:
    from pycompose.engine.paths import StatePaths
    from pycompose.volumes.store import VolumeState


def made_from(volume: VolumeState) -> str:
    """Return the hash of the configuration that a volume was made from, "" when nobody knows."""
    return volume.labels.get(CONFIG_HASH, "")


def volume_hashes(paths: StatePaths) -> dict[str, str]:
    """Return the names of all volumes of the machine, with the hash that each was made from."""
    return {volume.name: made_from(volume) for volume in VolumeStore(paths).all()}
