"""`export` and `commit`: the file system of a container as a tar, and as an image.

A container of an image in the store is committed as its image's layers and one more, made of what it has written. The
image `host` and directories have no layers that could be shared: their whole file system becomes the layer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pycompose.client.copy import held_stopped
from pycompose.engine import journal
from pycompose.engine.builder.changes import apply_changes
from pycompose.engine.dataclass import dataclass, replace
from pycompose.engine.errors import EngineError, ImageError, NoSuchContainer, StateError
from pycompose.engine.filesystem import transfer, view
from pycompose.engine.filesystem.diff import differences
from pycompose.engine.images.archives.importer import target_name
from pycompose.engine.images.layers.ingest import Staged, commit_layers
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.tarwriter import StandardOutput, TarWriter
from pycompose.engine.images.layers.workers import Worker, complete
from pycompose.engine.images.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from pycompose.engine.images.spec import (
    Healthcheck,
    ImageConfig,
    config_from_oci,
    config_to_oci,
    created_now,
    machine,
)
from pycompose.engine.images.store import ImageStore
from pycompose.engine.state import Status
from pycompose.engine.statefiles import whole_file
from pycompose.errors import NotRunning
from pycompose.events import Event, Phase
from pycompose.ipc.client import connect
from pycompose.ipc.requests import PauseRequest
from pycompose.labels import GIVEN, PREFIX
from pycompose.policy.observed import ObservedContainer
from pycompose.state.records import read_service
from pycompose.state.snapshot import observe_containers, shown_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pycompose.client.context import Context
    from pycompose.client.options import CommitOptions, ExportOptions
    from pycompose.engine.images.layers.tarwriter import Writable
    from pycompose.engine.images.store import StoredImage
    from pycompose.model import Health


def export(context: Context, project_name: str, options: ExportOptions) -> None:
    """Write the merged root file system of a container, without its volumes, to a file or standard output.

    Raises NoSuchContainer, EngineError; a file that could not be finished is removed.
    """
    container = _replica(context, project_name, options)
    subject = f"Container {container.name}"
    context.sink(Event(subject=subject, text="Exporting", phase=Phase.WORKING))
    try:
        with _output(options.output) as out:
            write_merged(context, container, out)
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise EngineError(f"container {container.name}: cannot export: {where}{exc.strerror}") from exc
    context.sink(Event(subject=subject, text="Exported", phase=Phase.DONE))


def write_merged(context: Context, container: ObservedContainer, out: Writable) -> None:
    """Write the file system of one container. Raises NoSuchContainer, EngineError, OSError."""
    targets = [os.fsencode(tree.target.strip("/")) for tree in container.config.rootfs]
    tar = TarWriter(out)
    # What other overlays cover is written where they are.
    walker = transfer.Walker(skip=[target for target in targets if target])
    with (
        held_stopped(context, container) as now,
        view.bare(context.paths, now.config, now.state) as roots,
    ):
        for root, target in zip(roots, targets, strict=True):
            transfer.write_tar(_named(walker.walk(root, target or b"."), target), tar)
    tar.close()


def _named(
    found: Generator[transfer.TreeEntry, None, None], target: bytes
) -> Generator[transfer.TreeEntry, None, None]:
    """Leave the top out (`.`, or a directory that its parent has written), and `./` before names."""
    with contextlib.closing(found):
        for item in found:
            if item.name == (target or b"."):
                continue
            item.name = item.name.removeprefix(b"./")
            item.hardlink = item.hardlink.removeprefix(b"./")
            yield item


@contextlib.contextmanager
def _output(path: str) -> Iterator[Writable]:
    if not path:
        if sys.stdout.isatty():
            raise EngineError("output option is required when exporting to terminal", hint="use -o FILE")
        out = StandardOutput()
        yield out
        out.flush()
        return
    _check_replaceable(path)
    with whole_file(path) as file:
        yield file


def _check_replaceable(path: str) -> None:
    """Raise EngineError for what isn't a regular file or a FIFO; docker/cli ValidateOutputPath and `export`."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # it isn't there, or opening it says what is wrong
    for kind, refused in (
        ("a directory", stat.S_ISDIR), ("a symbolic link", stat.S_ISLNK), ("a device", stat.S_ISBLK),
        ("a device", stat.S_ISCHR), ("a socket", stat.S_ISSOCK),
    ):  # fmt: skip
        if refused(mode):
            raise EngineError(f"--output {path}: it is {kind}", hint="name a file, or redirect the output")


def _replica(
    context: Context, project_name: str, options: CommitOptions | ExportOptions
) -> ObservedContainer:
    service, index = options.service, options.index
    found, _ = observe_containers(context.paths, project_name)
    if options.container:
        chosen = [c for c in found if c.id == options.container]
    else:
        chosen = [c for c in found if c.service == service and not c.oneoff and index in (0, c.number)]
    if not chosen:
        which = f" (index {index})" if index else ""
        raise NoSuchContainer(
            f'no container found for service "{service}"{which}', hint="see `pycompose ps -a`"
        )
    return min(chosen, key=lambda c: c.number)


def changed_paths(context: Context, container: ObservedContainer) -> list[tuple[str, str]]:
    """Return (A, C or D, path) for what a container has added, changed and deleted. Raises EngineError."""
    found = []
    for number, tree in enumerate(container.config.rootfs):
        upper = context.paths.container(container.id) / f"rw/{number}/upper"
        if not upper.exists():
            continue
        prefix = tree.target.rstrip("/")
        hidden = [
            os.fsencode(os.path.relpath(target, tree.target))
            for target in (*container.config.files, *(other.target for other in container.config.rootfs))
            if target != tree.target and target.startswith(f"{prefix}/")
        ]
        try:
            for kind, path in differences(upper, tree.lowers, hidden):
                found.append((kind, f"{prefix}/{os.fsdecode(path)}"))
        except OSError as exc:
            raise EngineError(
                f"container {container.name}: cannot compare: {exc.filename or upper}: {exc.strerror}"
            ) from exc
    return sorted(found, key=lambda item: item[1])


# ---------------------------------------------------------------------- commit


def commit(context: Context, project_name: str, options: CommitOptions) -> str:
    """Make an image of a container as it is now, return its id.

    The container is paused meanwhile unless `options.pause` is off. Raises NoSuchContainer, InvalidReference,
    ImageError.
    """
    container = _replica(context, project_name, options)
    name = target_name(options.reference or None)
    subject = f"Container {container.name}"
    context.sink(Event(subject=subject, text="Committing", phase=Phase.WORKING))
    if options.dry_run:
        return ""
    store = ImageStore(context.paths)
    base = _base(store, container)
    own = _configuration(context, container, base)
    asked = config_from_oci({"config": options.config}, "commit") if options.config else own
    changed, on_build = apply_changes(asked, options.changes)
    config = _merged(changed, own)
    layout = store.layout
    with layout.adding(), layout.scratch("commit") as scratch:
        with _paused(context, project_name, container, wanted=options.pause):
            layer = _write_layer(context, container, scratch / "blob", merged=base is None)
        described = config_to_oci(config) | ({"OnBuild": list(on_build)} if on_build else {})

        def document(diff_id: str) -> dict[str, Any]:
            return _document(base, own, described, diff_id, options)

        manifest = _add_layer(store, scratch, layer, base, document)
        image = store.add(manifest, name)
        if name is not None:
            store.note("tag", image, name.familiar)
    told = {
        "comment": options.message,
        "image": container.config.image,
        "imageID": image.id,
        "imageRef": name.familiar if name is not None else "",
        "name": container.name,
    }
    journal.record(
        context.paths, "container", "commit", container.id, {**shown_labels(container.config), **told}
    )
    context.sink(Event(subject=subject, text="Committed", phase=Phase.DONE, details=image.id))
    return image.id


def _base(store: ImageStore, container: ObservedContainer) -> StoredImage | None:
    """Return the stored image whose layers the container stands on, None for `host` and directories."""
    if len(container.config.rootfs) != 1:
        return None
    try:
        stored = store.get(container.config.image_id)
    except ImageError:
        return None
    return stored if stored.image.trees == container.config.rootfs else None


def _configuration(context: Context, container: ObservedContainer, base: StoredImage | None) -> ImageConfig:
    """Return the image's configuration with what the service has said over it (moby `commit` merges the same)."""
    config = base.image.config if base else ImageConfig()
    service = read_service(context.paths, container.id).service
    process = container.config.process
    entrypoint = config.entrypoint if service.entrypoint is None else service.entrypoint
    command = service.command
    if command is None:
        command = config.cmd if service.entrypoint is None else ()
    labels = {
        key.removeprefix(GIVEN): value for key, value in service.labels.items() if not key.startswith(PREFIX)
    }
    ports = (f"{port.target}/{port.protocol}" for port in service.ports)
    exposed = (text if "/" in text else f"{text}/tcp" for text in service.expose)
    check = service.health if service.health and service.health.test and not service.health.disable else None
    return replace(
        config,
        entrypoint=entrypoint,
        cmd=command,
        env=process.env,
        user=process.user.spec,
        working_dir=service.working_dir or config.working_dir,
        stop_signal=service.stop_signal or config.stop_signal,
        labels={**config.labels, **labels},
        healthcheck=_healthcheck(check) if check else config.healthcheck,
        exposed_ports=tuple(sorted({*config.exposed_ports, *ports, *exposed})),
    )


def _merged(asked: ImageConfig, own: ImageConfig) -> ImageConfig:
    """Return what was asked for, with what the container has where nothing was (moby daemon/commit.go, merge)."""
    names = {entry.partition("=")[0] for entry in asked.env}
    added = (entry for entry in own.env if entry.partition("=")[0] not in names)
    return replace(
        asked,
        user=asked.user or own.user,
        exposed_ports=tuple(sorted({*asked.exposed_ports, *own.exposed_ports})),
        env=(*asked.env, *added),
        labels={**own.labels, **asked.labels},
        cmd=asked.cmd if asked.entrypoint or asked.cmd else own.cmd,
        healthcheck=asked.healthcheck or own.healthcheck,
        working_dir=asked.working_dir or own.working_dir,
        volumes=tuple(sorted({*asked.volumes, *own.volumes})),
        stop_signal=asked.stop_signal or own.stop_signal,
    )


def _healthcheck(check: Health) -> Healthcheck:
    return Healthcheck(
        test=check.test or (),
        interval_s=check.interval_s,
        timeout_s=check.timeout_s,
        start_period_s=check.start_period_s,
        start_interval_s=check.start_interval_s,
        retries=check.retries,
    )


@contextlib.contextmanager
def _paused(context: Context, project: str, container: ObservedContainer, *, wanted: bool) -> Iterator[None]:
    """Freeze the service of a running container for the block; one that is paused already stays so."""
    if not wanted or container.state.status is not Status.RUNNING:
        yield
        return
    _pause(context, project, container, on=True)
    try:
        yield
    finally:
        with contextlib.suppress(NotRunning, StateError):  # it has ended, or somebody has let it go on
            _pause(context, project, container, on=False)


def _pause(context: Context, project: str, container: ObservedContainer, *, on: bool) -> None:
    request = PauseRequest(services=(container.service,), ids=(container.id,), pause=on)
    with connect(context.paths, project) as connection:
        connection.call(request, lambda _event: None)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer tar that has been written: `digest` is of its bytes, which are not compressed."""

    path: Path
    digest: str
    size: int


class _Hashed:
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        """`sha256:HEX` of everything so far."""
        return f"sha256:{self._hash.hexdigest()}"


def _write_layer(context: Context, container: ObservedContainer, path: Path, *, merged: bool) -> _Layer:
    try:
        with path.open("xb") as file:
            out = _Hashed(file)
            if merged:
                write_merged(context, container, out)
            else:
                tar = TarWriter(out)
                upper = context.paths.container(container.id) / "rw/0/upper"
                if upper.exists():
                    LayerTar(tar, leave_out=_mount_points(container)).diff(upper)
                tar.close()
    except OSError as exc:
        raise ImageError(
            f"container {container.name}: cannot commit: {exc.filename or path}: {exc.strerror}"
        ) from exc
    return _Layer(path, out.digest, out.size)


def _mount_points(container: ObservedContainer) -> list[bytes]:
    """Return the files that are in the upper directory only as a place to mount one on."""
    return [os.fsencode(target.strip("/")) for target in container.config.files]


def _add_layer(
    store: ImageStore,
    scratch: Path,
    layer: _Layer,
    base: StoredImage | None,
    document: Callable[[str], dict[str, Any]],
) -> bytes:
    """Bring the layer into the store, return the manifest of the image, whose configuration is the `document`."""
    staging = scratch / "layer"
    staging.mkdir(mode=0o700)
    with Worker() as worker:
        fd, growing = complete(layer.path)
        unpacked = worker.unpack(fd, "", staging, growing)
    below = base.configuration.diff_ids if base else ()
    staged = [None] * len(below) + [Staged(path=staging, unpacked=unpacked)]
    commit_layers(store.layout, (*below, unpacked.diff_id), staged, "commit")
    if not store.layout.has_blob(layer.digest):
        store.layout.adopt_blob(layer.path, layer.digest)
    data = json.dumps(document(unpacked.diff_id), sort_keys=True).encode()
    layers = [item.to_json() for item in base.manifest.layers] if base else []
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": store.layout.put_blob(data), "size": len(data)},
        "layers": [*layers, {"mediaType": OCI_LAYER, "digest": layer.digest, "size": layer.size}],
    }
    return json.dumps(manifest, sort_keys=True).encode()


def _document(
    base: StoredImage | None,
    own: ImageConfig,
    described: dict[str, Any],
    diff_id: str,
    options: CommitOptions,
) -> dict[str, Any]:
    """Return the configuration of the new image (image-spec config.md), with its "config" as `described`.

    Its step is said to be made by the container's command, whatever that is changed to (moby CreateImageFromContainer).
    """
    old: Mapping[str, Any] = base.configuration.document if base else {}
    created = created_now()
    platform = base.configuration.platform if base else machine()
    step = {"created": created, "created_by": " ".join(own.cmd), "comment": options.message}
    history = old.get("history")
    document: dict[str, Any] = {
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": described,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*(base.configuration.diff_ids if base else ()), diff_id],
        },
        "history": [*(history if isinstance(history, list) else []), step],
    }
    if platform.variant:
        document["variant"] = platform.variant
    if options.author:
        document["author"] = options.author
        step["author"] = options.author
    return document
