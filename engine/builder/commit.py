"""A step's upper directory becomes a layer.

A step works in an upper directory of its own over the layers before it; when it has ended, that directory *is* the
layer: it gets a name by its content and moves into the image store, nothing is copied or packed. The tar whose digest
names it (image-spec config.md, DiffID) is only hashed, and written when somebody pushes or saves the image.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycompose.engine.builder.snapshot import Layer, Snapshot, known_layer
from pycompose.engine.dataclass import dataclass, field
from pycompose.engine.errors import BuildError
from pycompose.engine.images.layers.layertar import LayerTar
from pycompose.engine.images.layers.lower_layers import is_opaque
from pycompose.engine.images.layers.tarwriter import TarWriter
from pycompose.engine.linux import fs
from pycompose.engine.statefiles import write_json

if TYPE_CHECKING:
    from pycompose.engine.images.layout import ImageLayout


@dataclass(slots=True)
class _Hash:
    """A file that keeps nothing but a digest and a length."""

    digest: object = field(default_factory=hashlib.sha256)
    length: int = 0

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""
        self.digest.update(data)  # type: ignore[attr-defined]
        self.length += len(data)
        return len(data)


class _CountingTar(TarWriter):
    """A tar writer that counts what goes into it."""

    entries = 0
    size_bytes = 0

    def add(
        self,
        name: bytes,
        status: os.stat_result,
        *,
        file: int | None = None,
        data: bytes | None = None,
        link: bytes = b"",
        xattrs: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Add a member, and count it."""
        self.entries += 1
        if stat.S_ISREG(status.st_mode):
            self.size_bytes += status.st_size
        super().add(name, status, file=file, data=data, link=link, xattrs=xattrs)


def commit(
    layout: ImageLayout,
    scratch: Path,
    parent: Snapshot,
    *,
    leave_out: Sequence[bytes] = (),
    latest_s: int | None = None,
    contents: Mapping[bytes, bytes] | None = None,
) -> Layer:
    """Make the uppers in `scratch`/rw the next layer above `parent`; raises BuildError.

    `leave_out` are paths (relative) that aren't part of it. No time is later than `latest_s` (since the epoch).
    `contents` are of files that need not be read. The caller holds the store (`layout.adding`).
    """
    try:
        upper = _gathered(scratch / "rw", [tree.target for tree in parent.base] or ["/"])
        for path in leave_out:
            _forget(upper, path)
        if latest_s is not None:
            _clamp(os.fsencode(upper), latest_s * 10**9)
        hashed = _Hash()
        tar = _CountingTar(hashed)
        LayerTar(tar, contents=contents, at_rest=True).diff(upper)
        tar.close()
        diff_id = f"sha256:{hashed.digest.hexdigest()}"  # type: ignore[attr-defined]
        chain_id = parent.next_chain_id(diff_id)
        meta = {
            "diff_id": diff_id,
            "chain_id": chain_id,
            "parent": parent.chain_id if parent.layers or parent.below else "",
            "size_bytes": tar.size_bytes,
            "entries": tar.entries,
            "tar_bytes": hashed.length,
            "created_s": time.time(),
        }
        with _staged(layout, scratch, upper) as staging:
            write_json(staging / "meta.json", meta, durable=False)
            with contextlib.suppress(FileExistsError, OSError):
                os.rename(staging, layout.layer(chain_id))
    except OSError as exc:
        raise BuildError(
            f"cannot store a layer: {exc.filename or scratch}: {exc.strerror}",
            hint="make room with: pycompose system prune" if exc.errno == 28 else None,
        ) from exc
    layer = known_layer(layout, chain_id)
    if layer is None:
        raise BuildError(f"cannot store the layer {chain_id}")
    return layer


@contextlib.contextmanager
def _staged(layout: ImageLayout, scratch: Path, upper: Path) -> Iterator[Path]:
    """Yield a directory beside the layers whose `diff` is the upper: moved, or copied from another file system."""
    if os.stat(scratch).st_dev == os.stat(layout.root).st_dev:
        staging = scratch / "layer"
        staging.mkdir(mode=0o700)
        os.rename(upper, staging / "diff")
        yield staging
        return
    with layout.scratch("layer") as beside:
        staging = beside / "layer"
        staging.mkdir(mode=0o700)
        _copy(upper, staging, beside / "tar")
        yield staging


def _copy(upper: Path, staging: Path, packed: Path) -> None:
    """Copy an upper as a layer, with whiteouts in the form that the other file system takes."""
    from pycompose.engine.images.layers.lower_layers import finish_layer  # noqa: PLC0415 - hardly any machine needs it
    from pycompose.engine.images.layers.unpack import Report  # noqa: PLC0415
    from pycompose.engine.images.layers.workers import Worker, complete  # noqa: PLC0415

    with packed.open("xb") as file:
        writer = TarWriter(file)
        LayerTar(writer, at_rest=True).diff(upper)
        writer.close()
    with Worker() as worker:
        blob, growing = complete(packed)
        worker.unpack(blob, "", staging, growing)
    diff, report_file = staging / "diff", staging / "report.json"
    report = Report.from_json(json.loads(report_file.read_bytes()))
    report_file.unlink()
    finish_layer(diff, report, None)
    status = upper.stat()  # the root itself is in no tar
    os.chown(diff, status.st_uid, status.st_gid)
    os.chmod(diff, stat.S_IMODE(status.st_mode))
    os.utime(diff, ns=(status.st_atime_ns, status.st_mtime_ns))


def _gathered(rw: Path, targets: Sequence[str]) -> Path:
    """Return the upper of `/` with the uppers of the other trees in their places."""
    top = rw / "0/upper"
    for number, target in enumerate(targets):
        own = rw / f"{number}/upper"
        if number and any(os.scandir(own)):
            place = top / target.strip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                place.rmdir()
            os.rename(own, place)
    return top


def _clamp(upper: bytes, latest_ns: int) -> None:
    """Give everything that is younger the time `latest_ns`: the same input is the same layer, whenever it is built."""
    pending = [upper]
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        if status.st_mtime_ns > latest_ns:
            os.utime(path, ns=(latest_ns, latest_ns), follow_symlinks=False)


def _forget(upper: Path, path: bytes) -> None:
    """Remove an empty file or directory that was there only for something to be mounted on it.

    Where the step has put a link on the way, what it leads to is none of ours (CVE-2024-23652).
    """
    parent, name = os.path.split(path)
    beneath = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS | fs.RESOLVE_NO_XDEV
    top = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            folder = fs.openat2(top, parent or b".", os.O_PATH | os.O_DIRECTORY, resolve=beneath)
            try:
                _remove_empty(folder, name)
            finally:
                os.close(folder)
    finally:
        os.close(top)


def _remove_empty(folder: int, name: bytes) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        if not _is_opaque(folder, name):  # it hides what is below: that was the step's doing
            os.rmdir(name, dir_fd=folder)
    elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
        os.unlink(name, dir_fd=folder)


def _is_opaque(folder: int, name: bytes) -> bool:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)
