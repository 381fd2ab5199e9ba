"""`--output`: a built image as files instead of, or besides, a name in the store."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pycompose.engine.builder.copying import CopyOptions, CopyTarget
from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.builder.tree import SourceTree
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import BuildError
from pycompose.engine.filesystem import transfer
from pycompose.engine.filesystem.view import mounted
from pycompose.engine.images.archives.save import save
from pycompose.engine.images.layers.tarwriter import TarWriter

if TYPE_CHECKING:
    from pycompose.engine.images.spec import Image
    from pycompose.engine.images.store import ImageStore
    from pycompose.engine.paths import StatePaths

IMAGE, LOCAL, TAR, OCI, DOCKER = "image", "local", "tar", "oci", "docker"
KINDS = (IMAGE, LOCAL, TAR, OCI, DOCKER)


@dataclass(frozen=True, slots=True)
class BuildOutput:
    """What `--output` asks for; `dest` is "-" for standard output."""

    kind: str = IMAGE
    dest: str = ""


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
    if kind not in KINDS:
        raise BuildError(
            f"--output {text}: unknown type {kind!r}",
            hint=suggestion(kind, list(KINDS)) or f"known: {', '.join(KINDS)}",
        )
    dest = values.get("dest") or values.get("destination") or ""
    if kind == LOCAL and not dest:
        raise BuildError(f"--output {text}: a destination is missing", hint="add dest=FOLDER")
    return BuildOutput(kind, dest or ("" if kind == IMAGE else "-"))


def write_output(paths: StatePaths, store: ImageStore, image: Image, output: BuildOutput) -> None:
    """Write the image where `output` says. Raises BuildError, ImageError."""
    try:
        match output.kind:
            case "local":
                _local(paths, store, image, Path(output.dest))
            case "tar":
                with _file(output.dest) as out:
                    _tar(paths, store, image, out)
            case "oci" | "docker":
                with _file(output.dest) as out:
                    save(store, [image.id], out)
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


def _tar(paths: StatePaths, store: ImageStore, image: Image, out: IO[bytes]) -> None:
    tar = TarWriter(out)
    with _root(paths, store, image) as root:
        for item in transfer.Walker().walk(root, b"."):
            if item.name == b".":
                continue
            item.name = item.name.removeprefix(b"./")
            item.hardlink = item.hardlink.removeprefix(b"./")
            transfer.write_tar([item], tar)
    tar.close()


@contextlib.contextmanager
def _root(paths: StatePaths, store: ImageStore, image: Image) -> Iterator[int]:
    with store.layout.scratch("output") as scratch:
        empty = scratch / "empty"
        empty.mkdir()
        with mounted(paths, "build output", image.trees, empty, scratch) as root:
            yield root


@contextlib.contextmanager
def _file(dest: str) -> Iterator[IO[bytes]]:
    """Yield a file that appears whole at `dest`; standard output for `-`, which no terminal is."""
    if dest == "-":
        if sys.stdout.isatty():
            raise BuildError(
                "the output is a tar: refused on a terminal", hint="add dest=FILE, or redirect it"
            )
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = f"{dest}.part"
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, dest)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
