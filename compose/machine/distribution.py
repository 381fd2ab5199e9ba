"""What a registry says of an image, without fetching it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.images.manifest import (
    INDEX_TYPES,
    media_type_of,
    parse_configuration,
    parse_index,
    parse_manifest,
)
from pycompose.engine.images.registry.settings import RegistrySettings
from pycompose.engine.images.registry.upload import open_repository

if TYPE_CHECKING:
    from pycompose.client.context import Context
    from pycompose.engine.images.reference import Reference
    from pycompose.engine.images.spec import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The manifest of an image, or its index, and the platforms that it is for."""

    media_type: str
    digest: str
    size_bytes: int
    platforms: tuple[Platform, ...]


def distribution(context: Context, reference: Reference) -> Distribution:
    """Ask the registry of a name. Raises PullError, AuthError, ImageError."""
    what = f"image {reference}"
    repository = open_repository(reference, RegistrySettings.load(context.environment))
    try:
        found = repository.manifest(reference.digest or reference.tag, expected=reference.digest)
        kind = media_type_of(found.data, found.media_type, what)
        if kind in INDEX_TYPES:
            entries = parse_index(found.data, what, kind)
            platforms = tuple(entry.platform for entry in entries if entry.platform is not None)
        else:
            config = parse_manifest(found.data, what, kind).config
            platforms = (parse_configuration(repository.small_blob(config), what).platform,)
    finally:
        repository.transport.close()
    return Distribution(media_type=kind, digest=found.digest, size_bytes=len(found.data), platforms=platforms)
