"""Which image a tag means today: `config --resolve-image-digests` and `--lock-image-digests`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from pycompose.engine.errors import ImageError
from pycompose.engine.images.reference import HUB, Reference, ReferenceKind, parse
from pycompose.engine.images.registry.auth import CredentialStore
from pycompose.engine.images.registry.registry import Repository, registry_host
from pycompose.engine.images.registry.settings import RegistrySettings
from pycompose.engine.images.registry.transport import Transport


def pinned(images: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return for each image its full reference with the digest that its registry names for it now.

    A reference with a digest is only completed, without asking anybody; images that come from no registry
    (`host`, `rootfs:…`) stay as they are. Raises InvalidReference, PullError, AuthError.
    """
    settings = RegistrySettings.load(environment)
    transport = Transport(settings)
    try:
        return {image: _pinned(parse(image), image, settings, transport) for image in sorted(set(images))}
    finally:
        transport.close()


def _pinned(reference: Reference, image: str, settings: RegistrySettings, transport: Transport) -> str:
    if reference.kind is not ReferenceKind.REGISTRY:
        return image
    if reference.digest:
        return _named(reference, reference.digest)
    store = CredentialStore(settings.environment)
    for mirror in settings.mirrors if reference.domain == HUB else ():
        with contextlib.suppress(ImageError):  # the registry itself decides, as for a pull
            at_mirror = Repository(transport, mirror, reference.path, credentials=lambda: None)
            return _named(reference, at_mirror.manifest(reference.tag).digest)
    host = registry_host(reference.domain)
    repository = Repository(transport, host, reference.path, credentials=lambda: store.get(reference.domain))
    try:
        return _named(reference, repository.manifest(reference.tag).digest)
    except ImageError as exc:
        raise type(exc)(f"image {reference}: cannot find its digest: {exc.message}", hint=exc.hint) from exc


def _named(reference: Reference, digest: str) -> str:
    """Return name and digest; a tag beside a digest says nothing, Docker Compose leaves it out too."""
    return f"{reference.name}@{digest}"
