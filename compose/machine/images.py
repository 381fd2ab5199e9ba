"""What `pycompose image …`, `login` and `logout` do: the machine's images apart from any project."""

# ruff: noqa: PLC0415 - HTTP, decompressors and threads are imported by what needs them

from __future__ import annotations

import datetime as dt
import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pycompose.client.images import layer_events
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import PycomposeError
from pycompose.engine.images.reference import ReferenceKind, parse
from pycompose.engine.images.spec import Platform
from pycompose.engine.images.store import ImageStore
from pycompose.events import Event, Phase
from pycompose.machine.rows import is_true, matches_labels
from pycompose.units import stamp_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pycompose.client.context import Context
    from pycompose.engine.images.layers.tarwriter import Writable
    from pycompose.engine.images.spec import Image
    from pycompose.engine.images.store import StoredImage

NONE = "<none>"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One line of `image ls`. `repository`, `tag` and `digest` are "<none>" where there is none."""

    repository: str
    tag: str
    digest: str
    id: str
    created_ns: int
    size_bytes: int
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One line of `image history`, newest first. `id` is "" for all but the newest."""

    id: str
    created_ns: int
    created_by: str
    size_bytes: int
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRemoval:
    """What `image rm` and `image prune` took away."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]
    freed_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """How much the images take: unpacked layers, their blobs, and what `prune -a` would free at least."""

    images: int
    in_use: int
    layers_bytes: int
    blobs_bytes: int
    reclaimable_bytes: int


def rows(
    context: Context, reference: str = "", filters: Iterable[str] = (), *, until_ns: int | None = None
) -> list[ImageRow]:
    """Return the images, newest first; `reference` is a repository or repository:tag.

    `filters` are dangling=BOOL, label=KEY[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE. With `until_ns`
    (since 1970) only those made before. Raises PycomposeError.
    """
    store = ImageStore(context.paths)
    chosen = list(store.list())
    for text in [*filters, *([f"reference={reference}"] if reference else [])]:
        key, equals, value = text.partition("=")
        test = _FILTERS.get(key)
        if test is None or not equals:
            known = ", ".join((*_FILTERS, "until"))
            raise PycomposeError(f"--filter {text}: cannot be used", hint=f"known: {known}")
        chosen = test(store, chosen, value)
    found = map(_row, chosen)
    return [row for row in found if until_ns is None or row.created_ns < until_ns]


def _row(item: StoredImage) -> ImageRow:
    name = (
        item.reference
        if item.reference is not None and item.reference.kind is ReferenceKind.REGISTRY
        else None
    )
    file = item.reference is not None and name is None
    return ImageRow(
        repository=name.familiar_name if name else str(item.reference) if file else NONE,
        tag=(name.tag if name else "") or NONE,
        digest=item.image.digests[0].partition("@")[2] if item.image.digests else NONE,
        id=item.image.id,
        created_ns=stamp_ns(item.image.created),
        size_bytes=item.image.size_bytes,
        labels=item.image.config.labels,
    )


def _dangling(_store: ImageStore, images: list[StoredImage], value: str) -> list[StoredImage]:
    wanted = is_true("dangling", value)
    return [item for item in images if (item.reference is None) == wanted]


def _label(_store: ImageStore, images: list[StoredImage], value: str) -> list[StoredImage]:
    key, equals, text = value.partition("=")
    return [
        item
        for item in images
        if key in item.image.config.labels and (not equals or item.image.config.labels[key] == text)
    ]


def _reference(_store: ImageStore, images: list[StoredImage], value: str) -> list[StoredImage]:
    def fits(item: StoredImage) -> bool:
        if item.reference is None:
            return False
        names = (item.reference.familiar, item.reference.familiar_name, item.reference.name)
        return any(fnmatch.fnmatchcase(name, value) for name in names)

    return [item for item in images if fits(item)]


def _before(store: ImageStore, images: list[StoredImage], value: str) -> list[StoredImage]:
    limit = stamp_ns(store.get(value).image.created)
    return [item for item in images if stamp_ns(item.image.created) < limit]


def _since(store: ImageStore, images: list[StoredImage], value: str) -> list[StoredImage]:
    limit = stamp_ns(store.get(value).image.created)
    return [item for item in images if stamp_ns(item.image.created) > limit]


_FILTERS = {
    "dangling": _dangling,
    "label": _label,
    "reference": _reference,
    "before": _before,
    "since": _since,
}


def inspect(context: Context, references: Sequence[str], platform: str | None = None) -> list[dict[str, Any]]:
    """Return what `docker image inspect` says of each image.

    Raises NoSuchImage for the first that is missing.
    """
    store = ImageStore(context.paths)
    everything = store.list()
    found = []
    for text in references:
        item = store.get(text, platform=platform)
        same = [other for other in everything if other.image.id == item.image.id]
        document = item.configuration.document
        found.append(
            {
                "Id": item.image.id,
                "RepoTags": [other.reference.familiar for other in same if other.reference is not None],
                "RepoDigests": sorted({digest for other in same for digest in other.image.digests}),
                "Parent": "",
                "Comment": _last_comment(document),
                "Created": item.image.created,
                "DockerVersion": document.get("docker_version", ""),
                "Author": document.get("author", ""),
                "Config": _configuration(document.get("config") or {}),
                "Architecture": item.configuration.platform.architecture,
                **({"Variant": variant} if (variant := item.configuration.platform.variant) else {}),
                "Os": item.configuration.platform.os,
                "Size": item.image.size_bytes,
                "GraphDriver": {
                    "Name": "overlay",
                    "Data": {"LowerDir": ":".join(item.image.trees[0].lowers)},
                },
                "RootFS": {"Type": "layers", "Layers": list(item.configuration.diff_ids)},
                "Metadata": {"LastTagTime": dt.datetime.fromtimestamp(item.stored_at, dt.UTC).isoformat()},
                "Descriptor": item.entry.to_json(),
            }
        )
    return found


# What Docker says of an image's configuration where that says nothing, in its order.
_NOTHING: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def _configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**_NOTHING, **config}


def _last_comment(document: Mapping[str, Any]) -> str:
    history = document.get("history")
    last = history[-1] if isinstance(history, list) and history else {}
    return str(last.get("comment", "")) if isinstance(last, dict) else ""


def history(context: Context, reference: str) -> list[HistoryRow]:
    """Return how an image came to be, newest first. Raises NoSuchImage."""
    store = ImageStore(context.paths)
    item = store.get(reference)
    sizes = [
        int((store.layout.layer_meta(chain_id) or {}).get("size_bytes", 0))
        for chain_id in item.configuration.chain
    ]
    steps = item.configuration.document.get("history")
    steps = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    if sum(not step.get("empty_layer") for step in steps) != len(sizes):
        steps = [{"created": item.image.created, "created_by": ""} for _ in sizes]
    remaining = iter(sizes)
    found = [
        HistoryRow(
            id="",
            created_ns=stamp_ns(str(step.get("created", ""))),
            created_by=str(step.get("created_by", "")),
            size_bytes=0 if step.get("empty_layer") else next(remaining),
            comment=str(step.get("comment", "")),
        )
        for step in steps
    ]
    found.reverse()
    if found:
        newest = found[0]
        found[0] = HistoryRow(
            id=item.image.id,
            created_ns=newest.created_ns,
            created_by=newest.created_by,
            size_bytes=newest.size_bytes,
            comment=newest.comment,
        )
    return found


def tag(context: Context, source: str, target: str) -> None:
    """Give an image one more name. Raises NoSuchImage, InvalidReference."""
    ImageStore(context.paths).tag(source, target)


def remove(context: Context, reference: str, *, force: bool = False) -> ImageRemoval:
    """Take a name away, and the image with its last one. Raises NoSuchImage, ImageError when it is used."""
    done = ImageStore(context.paths).remove(reference, force=force)
    return ImageRemoval(untagged=done.untagged, deleted=done.deleted, freed_bytes=done.reclaimed.size_bytes)


def prune(
    context: Context,
    *,
    everything: bool,
    before_s: float | None = None,
    labels: Sequence[str] = (),
    without: Sequence[str] = (),
) -> ImageRemoval:
    """Remove nameless images, with `everything` all that no container uses.

    `before_s` spares younger ones, `without` those with one of these labels; of `labels` all have to be there.
    """

    def wanted(image: Image) -> bool:
        found = image.config.labels
        return all(matches_labels(found, text) for text in labels) and not any(
            matches_labels(found, text) for text in without
        )

    done = ImageStore(context.paths).prune(everything=everything, before=before_s, wanted=wanted)
    return ImageRemoval(untagged=done.untagged, deleted=done.deleted, freed_bytes=done.reclaimed.size_bytes)


def load(context: Context, source: Path | BinaryIO, platform: str | None = None) -> list[str]:
    """Load an archive; return the names of its images, ids for those without.

    Raises ArchiveError, ImageError.
    """
    from pycompose.engine.images.archives.load import load as load_archive

    wanted = Platform.parse(platform) if platform else None
    images = load_archive(ImageStore(context.paths), source, platform=wanted)
    return [image.reference or image.id for image in images]


def save(context: Context, references: Sequence[str], out: Writable, platform: str | None = None) -> None:
    """Write images as one archive. Raises NoSuchImage, ImageError."""
    from pycompose.engine.images.archives.save import save as save_archive

    save_archive(ImageStore(context.paths), references, out, platform=platform)


def import_(
    context: Context, source: Path | BinaryIO, reference: str | None, *, changes: Sequence[str], message: str
) -> str:
    """Make an image of a root file system tar, return its id. Raises ArchiveError, InvalidChange, ImageError."""
    from pycompose.engine.builder.changes import apply_changes
    from pycompose.engine.images.archives.importer import import_rootfs
    from pycompose.engine.images.spec import ImageConfig

    config, on_build = apply_changes(ImageConfig(), changes)
    store = ImageStore(context.paths)
    return import_rootfs(store, source, reference, config=config, on_build=on_build, message=message).id


def pull(context: Context, reference: str, *, platform: str | None = None, quiet: bool = False) -> str:
    """Pull one image, return its name. Raises PullError, AuthError, DigestMismatch, ImageError."""
    from pycompose.engine.images.registry.pull import Puller
    from pycompose.engine.images.registry.settings import RegistrySettings

    parsed = parse(reference)
    subject = f"Image {parsed.familiar}"
    wanted = platform or context.environment.get("DOCKER_DEFAULT_PLATFORM") or ""
    settings = RegistrySettings.load(context.environment)
    context.sink(Event(subject=subject, text="Pulling", phase=Phase.WORKING))
    with Puller(ImageStore(context.paths), settings) as puller:
        image = puller.pull(
            parsed,
            layer_events(context, subject, quiet=quiet),
            platform=Platform.parse(wanted) if wanted else None,
        )
    context.sink(Event(subject=subject, text="Pulled", phase=Phase.DONE))
    return image.reference


def push(context: Context, reference: str, *, quiet: bool = False) -> str:
    """Push one image, return its digest. Raises PullError, AuthError, NoSuchImage."""
    from pycompose.engine.images.registry.push import push as push_image
    from pycompose.engine.images.registry.settings import RegistrySettings

    parsed = parse(reference)
    subject = f"Image {parsed.familiar}"
    context.sink(Event(subject=subject, text="Pushing", phase=Phase.WORKING))
    settings = RegistrySettings.load(context.environment)
    digest = push_image(
        ImageStore(context.paths), settings, parsed, layer_events(context, subject, quiet=quiet)
    )
    context.sink(Event(subject=subject, text="Pushed", phase=Phase.DONE, details=digest))
    return digest


def login(environment: Mapping[str, str], server: str, username: str, password: str) -> str:
    """Try credentials at a registry and keep them; return where they are kept.

    Raises AuthError, PullError.
    """
    from pycompose.engine.images.registry.auth import Credentials, CredentialStore
    from pycompose.engine.images.registry.login import login as try_login
    from pycompose.engine.images.registry.login import registry_domain
    from pycompose.engine.images.registry.settings import RegistrySettings

    domain = registry_domain(server)
    credentials = Credentials(username=username, password=password)
    try_login(RegistrySettings.load(environment), domain, credentials)
    return CredentialStore(environment).put(domain, credentials)


def logout(environment: Mapping[str, str], server: str) -> bool:
    """Forget the credentials of a registry; False when there were none. Raises AuthError."""
    from pycompose.engine.images.registry.auth import CredentialStore
    from pycompose.engine.images.registry.login import registry_domain

    return CredentialStore(environment).erase(registry_domain(server))


def disk_usage(context: Context) -> DiskUsage:
    """Return how much the images take. Raises ImageError."""
    store = ImageStore(context.paths)
    images = {item.entry.digest: item for item in store.list()}
    used = store.used_image_ids()
    layers: dict[str, tuple[int, bool]] = {}
    blobs: dict[str, tuple[int, bool]] = {}
    for item in images.values():
        busy = item.image.id in used
        for chain_id in item.configuration.chain:
            size = int((store.layout.layer_meta(chain_id) or {}).get("size_bytes", 0))
            layers[chain_id] = (size, busy or layers.get(chain_id, (0, False))[1])
        for blob in item.manifest.layers:
            blobs[blob.digest] = (blob.size, busy or blobs.get(blob.digest, (0, False))[1])
    parts = [*layers.values(), *blobs.values()]
    return DiskUsage(
        images=len(images),
        in_use=sum(item.image.id in used for item in images.values()),
        layers_bytes=sum(size for size, _ in layers.values()),
        blobs_bytes=sum(size for size, _ in blobs.values()),
        reclaimable_bytes=sum(size for size, busy in parts if not busy),
    )
