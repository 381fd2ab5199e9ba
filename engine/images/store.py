"""The image store as the rest of pycompose sees it: look up, list, name, remove.

What brings images in lies in rooms of its own (archives, registry), so that a look-up imports neither an HTTP
library nor a decompressor.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine import journal
from pycompose.engine.config import RootfsTree
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import ImageError, NoSuchImage
from pycompose.engine.images import gc
from pycompose.engine.images.host import host_image
from pycompose.engine.images.layout import REF_NAME, SOURCE_DIGEST, SOURCE_STAMP, STORED_AT, ImageLayout
from pycompose.engine.images.manifest import (
    MAX_CONFIG_BYTES,
    MAX_MANIFEST_BYTES,
    OCI_MANIFEST,
    Configuration,
    Descriptor,
    Manifest,
    parse_configuration,
    parse_manifest,
)
from pycompose.engine.images.reference import Reference, ReferenceKind, parse
from pycompose.engine.images.rootfs import rootfs_image, stacked
from pycompose.engine.images.spec import Image, Platform, config_from_oci, machine
from pycompose.engine.paths import BUILDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.paths import StatePaths

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{6,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One entry of the index with everything read: what `image ls` and `image inspect` show.

    `reference` is None for an image that has lost its name. `stored_at` is seconds since the epoch.
    """

    entry: Descriptor
    reference: Reference | None
    manifest: Manifest
    configuration: Configuration
    image: Image
    stored_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What `remove` did: names taken away and images gone."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]
    reclaimed: gc.Reclaimed


class ImageStore:
    """All images of the machine. Safe to use from several threads and processes."""

    def __init__(self, paths: StatePaths) -> None:
        self.paths = paths
        self.layout = ImageLayout(paths.images)

    # Look up

    def resolve(
        self, reference: str, *, platform: str | Platform | None = None, base_dir: Path | None = None
    ) -> Image:
        """Return the local image that `reference` names; never touches a network.

        Relative paths in `rootfs:`, `oci:` and `docker-archive:` start at `base_dir` (default: the working
        directory). Raises NoSuchImage, InvalidReference, and ImageError for a damaged store.
        """
        wanted = Platform.parse(platform) if isinstance(platform, str) and platform else platform or None
        if not isinstance(wanted, Platform):
            wanted = None
        if self._is_id(reference):
            return self._by_id(reference).image
        parsed = parse(reference).anchored(base_dir or Path.cwd())
        if parsed.kind is ReferenceKind.HOST:
            return host_image(self.layout)
        if parsed.kind is ReferenceKind.ROOTFS:
            return rootfs_image(parsed)
        entry = self.find(parsed, wanted)
        if entry is None:
            if parsed.kind is ReferenceKind.REGISTRY and not parsed.digest and _ID.fullmatch(reference):
                return self._by_id(reference).image
            raise self._missing(parsed, wanted)
        return self.read(entry, parsed).image

    def find(self, reference: Reference, wanted: Platform | None = None) -> Descriptor | None:
        """Return the index entry of a name.

        For `wanted` or else for this machine or else for any platform.
        """
        entries = [entry for entry in self.layout.index() if _matches(entry, reference)]
        if reference.kind in (ReferenceKind.OCI, ReferenceKind.DOCKER_ARCHIVE):
            stamp = file_stamp(reference)
            entries = [entry for entry in entries if entry.annotations.get(SOURCE_STAMP) == stamp]
        target = wanted or machine()
        for entry in entries:
            if entry.platform is None or _fits(entry.platform, target):
                return entry
        return entries[0] if entries and wanted is None else None

    def _missing(self, reference: Reference, wanted: Platform | None) -> NoSuchImage:
        what = f"{reference.familiar} for {wanted}" if wanted else reference.familiar
        hint = f"get it with: pycompose image pull {reference.familiar}"
        if reference.kind is not ReferenceKind.REGISTRY:
            hint = "it is loaded by `up` and `pull`, or with: pycompose image load"
        return NoSuchImage(f"image {what}: no such image in the local store", hint=hint)

    def read(self, entry: Descriptor, reference: Reference | None = None) -> StoredImage:
        """Return everything about an index entry. Raises NoSuchImage when parts of it are missing."""
        key = entry.annotations.get(REF_NAME)
        own = _parse_key(key) if key else None
        what = f"image {(reference or own or entry.digest)!s}"
        try:
            manifest = parse_manifest(self.layout.read_blob(entry.digest, MAX_MANIFEST_BYTES), what)
            document = self.layout.read_blob(manifest.config.digest, MAX_CONFIG_BYTES)
        except FileNotFoundError as exc:
            raise self._incomplete(what) from exc
        configuration = parse_configuration(document, what)
        image = Image(
            reference=str(reference or own or ""),
            id=manifest.config.digest,
            trees=self._trees(configuration, what),
            config=config_from_oci(configuration.document, what),
            size_bytes=self._size(configuration, what),
            created=configuration.created,
            platform=str(configuration.platform),
            digests=_digests(entry, own),
        )
        stored_at = float(entry.annotations.get(STORED_AT, "0"))
        return StoredImage(
            entry=entry,
            reference=own,
            manifest=manifest,
            configuration=configuration,
            image=image,
            stored_at=stored_at,
        )

    def _trees(self, configuration: Configuration, what: str) -> tuple[RootfsTree, ...]:
        diffs = [self.layout.layer(chain_id) / "diff" for chain_id in reversed(configuration.chain)]
        if configuration.host:
            return stacked(host_image(self.layout).trees, diffs)
        if not diffs:
            raise ImageError(f"{what}: it has no layers, so there is nothing to start")
        return (RootfsTree(target="/", lowers=tuple(map(str, diffs))),)

    def _size(self, configuration: Configuration, what: str) -> int:
        total = 0
        for chain_id in configuration.chain:
            meta = self.layout.layer_meta(chain_id)
            if meta is None:
                raise self._incomplete(what)
            total += int(meta["size_bytes"])
        return total

    def _incomplete(self, what: str) -> NoSuchImage:
        return NoSuchImage(
            f"{what}: parts of it are missing in the local store", hint="pull or load it again"
        )

    def _is_id(self, text: str) -> bool:
        return text.startswith("sha256:") or (len(text) == 64 and _ID.fullmatch(text) is not None)

    def _by_id(self, text: str) -> StoredImage:
        match = _ID.fullmatch(text)
        found = [item for item in self.list() if match and item.image.id[7:].startswith(match[1])]
        if len({item.image.id for item in found}) > 1:
            raise NoSuchImage(f"image {text}: several ids begin so", hint="give more digits")
        if not found:
            raise NoSuchImage(
                f"image {text}: no such image in the local store", hint="see: pycompose image ls"
            )
        return found[0]

    def list(self) -> tuple[StoredImage, ...]:
        """Return all readable images, newest first. Images with missing parts are left out."""
        images = []
        for entry in self.layout.index():
            try:
                images.append(self.read(entry))
            except ImageError:
                continue
        return tuple(sorted(images, key=lambda item: item.image.created, reverse=True))

    def get(self, reference: str, *, platform: str | None = None) -> StoredImage:
        """Return the stored image of a name or id. Raises NoSuchImage, InvalidReference."""
        if self._is_id(reference):
            return self._by_id(reference)
        parsed = parse(reference).anchored(Path.cwd())
        wanted = Platform.parse(platform) if platform else None
        entry = self.find(parsed, wanted)
        if entry is not None:
            return self.read(entry, parsed)
        if parsed.kind is ReferenceKind.REGISTRY and _ID.fullmatch(reference):
            return self._by_id(reference)
        raise self._missing(parsed, wanted)

    # Change

    def add(
        self, manifest: bytes, reference: Reference | None, *, source_digest: str = "", stamp: str = ""
    ) -> Image:
        """Enter an image whose blobs and layers are all in the store; the name moves to it.

        `source_digest` is the digest by which a registry knows it, `stamp` what tells a changed file.
        """
        parsed = parse_manifest(manifest, f"image {reference or 'without a name'}")
        configuration = parse_configuration(
            self.layout.read_blob(parsed.config.digest, MAX_CONFIG_BYTES), "image"
        )
        annotations = {STORED_AT: f"{time.time():.0f}"}
        sources = ((SOURCE_DIGEST, source_digest), (SOURCE_STAMP, stamp))
        annotations |= {key: value for key, value in sources if value}
        if reference is not None:
            annotations[REF_NAME] = replace(reference, digest="").key if reference.tag else reference.key
        entry = Descriptor(
            media_type=parsed.media_type or OCI_MANIFEST,
            digest=self.layout.put_blob(manifest),
            size=len(manifest),
            platform=configuration.platform,
            annotations=annotations,
        )
        if reference is None or not any(_says_the_same(old, entry) for old in self.layout.index()):
            self.layout.change_index(lambda entries: _enter(entries, entry))
        return self.read(entry, reference).image

    def tag(self, source: str, target: str) -> None:
        """Give the image `source` one more name. Raises NoSuchImage, InvalidReference, ImageError."""
        name = parse(target)
        if name.kind is not ReferenceKind.REGISTRY or name.digest:
            raise ImageError(f"image {target}: cannot be used as a tag", hint="a tag looks like name:tag")
        found = self.get(source)
        annotations = {REF_NAME: name.key, STORED_AT: f"{time.time():.0f}"}
        self.layout.change_index(
            lambda entries: _enter(entries, replace(found.entry, annotations=annotations))
        )
        self.note("tag", found.image, name.familiar)

    def remove(self, reference: str, *, force: bool = False) -> Removed:
        """Take a name away, and the image with its last name.

        An id takes all names, several of them only with `force`. Raises NoSuchImage, and ImageError when a
        container uses the image and `force` is not given.
        """
        stored = self.get(reference)
        same = [e for e in self.layout.index() if e.digest == stored.entry.digest]
        by_id = self._is_id(reference) or stored.reference is None or not self._names(reference, stored)
        named = [e for e in same if REF_NAME in e.annotations]
        if by_id and len(named) > 1 and not force:
            raise ImageError(
                f"image {reference}: it has {len(named)} names", hint="remove them by name, or use --force"
            )
        gone = same if by_id else [stored.entry]
        last = len(gone) == len(same)
        if last and not force and (users := self._users(stored.image)):
            raise ImageError(
                f"image {reference}: container {users[0]} uses it",
                hint="remove the container first, or use --force",
            )
        self.layout.change_index(lambda entries: [e for e in entries if e not in gone])
        reclaimed = gc.sweep(self.layout, self.paths, young_s=0.0) if last else gc.Reclaimed()
        untagged = tuple(str(_parse_key(e.annotations[REF_NAME])) for e in gone if REF_NAME in e.annotations)
        left = any(item.image.id == stored.image.id for item in self.list())
        for _ in untagged:
            self.note("untag", stored.image)
        if not left:
            self.note("delete", stored.image)
        return Removed(untagged=untagged, deleted=() if left else (stored.image.id,), reclaimed=reclaimed)

    def note(self, action: str, image: Image, name: str = "", actor: str = "") -> None:
        """Have everybody told what has happened to an image (moby daemon/images LogImageEvent)."""
        attributes = {**image.config.labels, "name": name or image.id}
        journal.record(self.paths, "image", action, actor or image.id, attributes)

    def _names(self, reference: str, stored: StoredImage) -> bool:
        """Tell whether `reference` is the name of the entry, not a prefix of its id."""
        try:
            return _matches(stored.entry, parse(reference).anchored(Path.cwd()))
        except ImageError:
            return False

    def _users(self, image: Image) -> tuple[str, ...]:
        """Return the containers of an image. Steps of builds use layers, which `gc` knows, and are gone in a moment."""
        lowers = set(image.trees[0].lowers)
        return tuple(
            str(config.get("name", config.get("id", "")))
            for config in gc.container_configs(self.paths)
            if not str(config.get("project", "")).startswith(BUILDS)
            and (
                config["image_id"] == image.id
                if config.get("image_id")
                else any(lowers & set(tree.get("lowers", ())) for tree in config.get("rootfs", ()))
            )
        )

    def used_image_ids(self) -> set[str]:
        """Return the ids of the images that containers of this machine were made from."""
        return {
            str(config["image_id"]) for config in gc.container_configs(self.paths) if config.get("image_id")
        }

    def prune(
        self,
        *,
        everything: bool = False,
        before: float | None = None,
        wanted: Callable[[Image], bool] = lambda _: True,
    ) -> Removed:
        """Remove images without a name, and what nothing refers to.

        With `everything` also named images that no container uses. `before` (seconds since the epoch) spares
        images stored later; only those that are `wanted` go.
        """
        gone = tuple(
            item
            for item in self.list()
            if (item.reference is None or everything)
            and (before is None or item.stored_at < before)
            and wanted(item.image)
            and not self._users(item.image)
        )
        digests = {(item.entry.digest, item.entry.annotations.get(REF_NAME)) for item in gone}
        self.layout.change_index(
            lambda entries: [e for e in entries if (e.digest, e.annotations.get(REF_NAME)) not in digests]
        )
        reclaimed = gc.sweep(self.layout, self.paths, young_s=0.0 if gone else gc.YOUNG_S, partial_s=0.0)
        for item in gone:
            if item.reference is not None:
                self.note("untag", item.image)
        for image in {item.image.id: item.image for item in gone}.values():
            self.note("delete", image)
        return Removed(
            untagged=tuple(str(item.reference) for item in gone if item.reference is not None),
            deleted=tuple(dict.fromkeys(item.image.id for item in gone)),
            reclaimed=reclaimed,
        )


def file_stamp(reference: Reference) -> str:
    """Return what changes when the file behind `oci:` or `docker-archive:` does. Raises NoSuchImage."""
    path = Path(reference.location)
    try:
        status = (path / "index.json" if reference.kind is ReferenceKind.OCI else path).stat()
    except OSError as exc:
        raise NoSuchImage(f"image {reference}: {exc.strerror}: {path}") from exc
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _parse_key(key: str) -> Reference:
    return parse(key)


def _matches(entry: Descriptor, reference: Reference) -> bool:
    key = entry.annotations.get(REF_NAME)
    if key is None:
        return False
    if not reference.digest:
        return key == reference.key
    known = key.partition("@")[0]
    name_fits = known == reference.name or known.startswith(f"{reference.name}:")
    return name_fits and reference.digest in (entry.digest, entry.annotations.get(SOURCE_DIGEST))


def _fits(have: Platform, target: Platform) -> bool:
    same = (have.os, have.architecture) == (target.os, target.architecture)
    return same and (not target.variant or not have.variant or have.variant <= target.variant)


def _digests(entry: Descriptor, reference: Reference | None) -> tuple[str, ...]:
    digest = entry.annotations.get(SOURCE_DIGEST)
    if not digest or reference is None:
        return ()
    return (f"{reference.familiar_name}@{digest}",)


def _says_the_same(entry: Descriptor, new: Descriptor) -> bool:
    """Tell whether an entry says what `new` does, but for when it was entered."""
    annotations = {**entry.annotations, STORED_AT: new.annotations[STORED_AT]}
    return replace(entry, annotations=annotations) == new


def _enter(entries: list[Descriptor], new: Descriptor) -> list[Descriptor]:
    """Add `new`; an older image of its name and platform keeps its place without the name."""
    key = new.annotations.get(REF_NAME)
    kept: list[Descriptor] = []
    for entry in entries:
        if entry.digest == new.digest and entry.annotations.get(REF_NAME) in (key, None):
            continue
        if key is not None and entry.annotations.get(REF_NAME) == key and entry.platform == new.platform:
            bare = {STORED_AT: entry.annotations.get(STORED_AT, "0")}
            entry = replace(entry, annotations=bare)  # noqa: PLW2901 - the same image without its name
        kept.append(entry)
    unique = {(e.digest, e.annotations.get(REF_NAME)): e for e in kept}
    named = {digest for digest, name in unique if name is not None} | {new.digest}
    return [e for (digest, name), e in unique.items() if name is not None or digest not in named] + [new]
