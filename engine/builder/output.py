"""`--output`: a built image as files instead of, or besides, a name in the store."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.builder.scratch import step_scratch
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.filesystem import transfer
from pycompose.engine.filesystem.view import mounted
from pycompose.engine.images.archives.folder import FolderArchive
from pycompose.engine.images.archives.save import save, write_layout
from pycompose.engine.images.layers.tarwriter import StandardOutput, TarWriter
from pycompose.engine.statefiles import whole_file

if TYPE_CHECKING:
    from pycompose.engine.images.layers.tarwriter import Writable
    from pycompose.engine.images.spec import Image
    from pycompose.engine.images.store import ImageStore
    from pycompose.engine.paths import StatePaths

IMAGE, LOCAL, TAR, OCI, DOCKER, REGISTRY = "image", "local", "tar", "oci", "docker", "registry"
KINDS = (IMAGE, LOCAL, TAR, OCI, DOCKER, REGISTRY)
# Keys, and those kinds that take them.
_KEYS = {
    "type": KINDS,
    "dest": (LOCAL, TAR, OCI, DOCKER),
    "destination": (LOCAL, TAR, OCI, DOCKER),
    "rewrite-timestamp": KINDS,
    "name": (IMAGE, REGISTRY),
    "push": (IMAGE, REGISTRY),
    "tar": (OCI, DOCKER),
}
_ANNOTATED = (IMAGE, OCI, DOCKER, REGISTRY)
_SWITCH = {"": None, "true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class BuildOutput:
    """What `--output` asks for; `dest` is "-" for standard output, `rewrites_timestamps` None when nothing is said.

    `name` is one more name of the image; `pushes`: all of its names go to their registries.
    """

    kind: str = IMAGE
    dest: str = ""
    rewrites_timestamps: bool | None = None
    name: str = ""
    pushes: bool = False
    # Whether `oci` and `docker` are one file; else `dest` is a folder.
    is_tar: bool = True
    # `annotation.KEY` and the like, with their values.
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_annotated(self) -> bool:
        """Whether what is written has a manifest."""
        return self.kind in _ANNOTATED


def check_output(text: str) -> BuildOutput:
    """Return what `type=TYPE,dest=PATH` asks for; a lone path is a local folder, `-` a tar. Raises BuildError."""
    if not text:
        return BuildOutput()
    if "=" not in text:
        return BuildOutput(TAR, "-") if text == "-" else BuildOutput(LOCAL, text)
    values = {}
    for item in text.split(","):
        name, _, value = item.partition("=")
        values[name.strip()] = value.strip()
    kind = values.get("type", "")
    annotations = {name: value for name, value in values.items() if name.startswith("annotation")}
    for name in annotations:
        del values[name]
        if kind not in _ANNOTATED:
            raise BuildError(f"--output {text}: {name} has no meaning with type={kind}")
    for name in values:
        if name not in _KEYS:
            raise BuildError(f"--output {text}: unknown key {name!r}", hint=suggestion(name, list(_KEYS)))
    switches = {name: values.get(name, "").lower() for name in ("rewrite-timestamp", "push", "tar")}
    for name, value in switches.items():
        if value not in _SWITCH:
            raise BuildError(f"--output {text}: {name}={value}: it is true or false")
    if kind not in KINDS:
        raise BuildError(
            f"--output {text}: unknown type {kind!r}",
            hint=suggestion(kind, list(KINDS)) or f"known: {', '.join(KINDS)}",
        )
    for name in values:
        if kind not in _KEYS[name]:
            raise BuildError(f"--output {text}: {name} has no meaning with type={kind}")
    dest = values.get("dest") or values.get("destination") or ""
    is_tar = _SWITCH[switches["tar"]] is not False
    if (kind == LOCAL or not is_tar) and not dest:
        raise BuildError(f"--output {text}: a destination is missing", hint="add dest=FOLDER")
    return BuildOutput(
        kind,
        dest or ("" if kind in (IMAGE, REGISTRY) else "-"),
        _SWITCH[switches["rewrite-timestamp"]],
        values.get("name", ""),
        kind == REGISTRY or bool(_SWITCH[switches["push"]]),
        is_tar,
        tuple(annotations.items()),
    )


def write_output(
    paths: StatePaths,
    store: ImageStore,
    image: Image,
    output: BuildOutput,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Write the image where `output` says; `annotations` go to its entry in a layout's index.

    Raises BuildError, ImageError.
    """
    try:
        match output.kind:
            case "local":
                _local(paths, store, image, Path(output.dest))
            case "tar":
                with _file(output.dest) as out:
                    _tar(paths, store, image, out)
            case "oci" | "docker" if not output.is_tar:
                write_layout(store, [image.id], FolderArchive(Path(output.dest)), annotations=annotations)
            case "oci" | "docker":
                with _file(output.dest) as out:
                    save(store, [image.id], out, annotations=annotations)
            case _:
                pass  # it is in the store
    except OSError as exc:
        raise BuildError(f"{output.dest}: cannot write: {exc.filename or ''}: {exc.strerror}") from exc


def _local(paths: StatePaths, store: ImageStore, image: Image, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    target = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _root(paths, store, image) as root:
            tree = SourceTree(root, keeps_owners=True, what="the image")
            CopyTarget(target, CopyOptions()).copy(tree, [""], "/")
    finally:
        os.close(target)


def _tar(paths: StatePaths, store: ImageStore, image: Image, out: Writable) -> None:
    tar = TarWriter(out)
    with _root(paths, store, image) as root:
        for item in transfer.Walker().walk(root, b"."):
            if item.name == b".":
                continue
            item.name = item.name.removeprefix(b"./")
            item.hardlink = item.hardlink.removeprefix(b"./")
            transfer.write_member(item, tar)
    tar.close()


@contextlib.contextmanager
def _root(paths: StatePaths, store: ImageStore, image: Image) -> Iterator[int]:
    with step_scratch(paths, store.layout) as scratch:
        empty = scratch / "empty"
        empty.mkdir()
        with mounted(paths, "build output", image.trees, empty, scratch) as root:
            yield root


@contextlib.contextmanager
def _file(dest: str) -> Iterator[Writable]:
    """Yield a file that appears whole at `dest`; standard output for `-`, which no terminal is."""
    if dest == "-":
        if sys.stdout.isatty():
            raise BuildError(
                "the output is a tar: refused on a terminal", hint="add dest=FILE, or redirect it"
            )
        out = StandardOutput()
        yield out
        out.flush()
        return
    with whole_file(dest) as file:
        yield file
