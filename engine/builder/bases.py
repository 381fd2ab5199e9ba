"""What a stage can start from: an image of the store, the machine's own system, a directory."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from pycompose.engine.builder.snapshot import Snapshot
from pycompose.engine.builder.steps import BaseImage
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError
from pycompose.engine.images.host import host_image
from pycompose.engine.images.reference import ReferenceKind, parse

if TYPE_CHECKING:
    from pycompose.engine.images.manifest import Descriptor
    from pycompose.engine.images.store import ImageStore

# What changes when software is installed on the machine: `image: host` is another base then.
_PACKAGE_DATABASES = (
    "/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/lib/apk/db/installed", "/var/lib/pacman/local", "/usr/local/lib", "/usr/local/bin", "/etc/os-release",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image to build upon: what evaluation needs, its file system, its manifest's layers and its history."""

    image: BaseImage
    snapshot: Snapshot
    document: dict[str, Any] = field(default_factory=dict)
    layers: tuple[Descriptor, ...] = ()


def base_of(store: ImageStore, name: str, *, platform: str = "") -> Base:
    """Return the local image `name` as a base. Raises NoSuchImage, InvalidReference, BuildError."""
    parsed = parse(name)
    if parsed.kind is ReferenceKind.HOST:
        return _host(store)
    if parsed.kind is ReferenceKind.ROOTFS:
        raise BuildError(
            f"image {name}: a directory can't be built upon: it has no layers",
            hint="import it first: tar -C DIR -c . | pycompose image import - NAME",
        )
    stored = store.get(name, platform=platform or None)
    document = stored.configuration.document
    own = document.get("config") or {}
    triggers = own.get("OnBuild") or ()
    base = BaseImage(
        config=stored.image.config,
        on_build=tuple(str(item) for item in triggers),
        author=str(document.get("author") or ""),
        platform=stored.image.platform,
    )
    host = stored.configuration.host
    snapshot = Snapshot(base=stored.image.trees, below=stored.configuration.diff_ids, identity=host)
    return Base(image=base, snapshot=snapshot, document=document, layers=stored.manifest.layers)


def _host(store: ImageStore) -> Base:
    image = host_image(store.layout)
    marks = [image.id]
    for path in _PACKAGE_DATABASES:
        try:
            marks.append(str(os.stat(path).st_mtime_ns))
        except OSError:
            marks.append("-")
    identity = "sha256:" + hashlib.sha256("\0".join(marks).encode()).hexdigest()
    return Base(image=BaseImage(config=image.config), snapshot=Snapshot(base=image.trees, identity=identity))
