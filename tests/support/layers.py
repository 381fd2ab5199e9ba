"""Layer tars by hand, good and hostile, and what overlayfs makes of them."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycompose.engine.images.layers.lower_layers import finish_layer
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.images.layers.unpack import Report, Unpacker

from tests.support.namespaces import mount, umount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes | str = b"", **fields: Any) -> Member:
    """Return a regular file; `fields` are those of TarInfo, and `xattrs`."""
    raw = data.encode() if isinstance(data, str) else data
    return _member(name, tarfile.REGTYPE, raw, **{"mode": 0o644, **fields})


def directory(name: str, **fields: Any) -> Member:
    """Return a directory."""
    return _member(name, tarfile.DIRTYPE, b"", **{"mode": 0o755, **fields})


def symlink(name: str, target: str, **fields: Any) -> Member:
    """Return a symbolic link."""
    return _member(name, tarfile.SYMTYPE, b"", linkname=target, mode=0o777, **fields)


def hardlink(name: str, target: str, **fields: Any) -> Member:
    """Return a hard link."""
    return _member(name, tarfile.LNKTYPE, b"", linkname=target, **fields)


def device(name: str, major: int, minor: int, *, kind: bytes = tarfile.CHRTYPE, **fields: Any) -> Member:
    """Return a device node, or a FIFO."""
    return _member(name, kind, b"", devmajor=major, devminor=minor, **{"mode": 0o600, **fields})


def _member(name: str, kind: bytes, data: bytes, **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, len(data), 1_700_000_000
    for key, value in fields.pop("xattrs", {}).items():
        info.pax_headers = {**info.pax_headers, f"SCHILY.xattr.{key}": value}
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*members: Member) -> bytes:
    """Return the members as a pax tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpack(target: Path, data: bytes, lowers: Sequence[Path] = ()) -> Report:
    """Unpack a tar into `target`, made here, and settle it on `lowers`, topmost first."""
    target.mkdir(mode=0o755)
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        report = Unpacker(fd).unpack(TarReader(iter([data])))
    finally:
        os.close(fd)
    finish_layer(target, report, lowers)
    return report


@contextmanager
def merged(base: Path, *layers: Path) -> Iterator[Path]:
    """Show layers (topmost first) through the kernel's overlayfs, read-only."""
    target, empty = base / "merged", base / "empty"
    for path in (target, empty):
        path.mkdir(exist_ok=True)
    lowers = ":".join(str(path) for path in (*layers, empty))
    mount("overlay", target, "overlay", data=f"lowerdir={lowers}")
    try:
        yield target
    finally:
        umount(target)


def names(root: Path) -> list[str]:
    """Return all paths below `root`, sorted, directories with a slash."""
    found = []
    for top, directories, files in os.walk(root):
        prefix = os.path.relpath(top, root)
        prefix = "" if prefix == "." else f"{prefix}/"
        found += [f"{prefix}{name}{'' if (Path(top) / name).is_symlink() else '/'}" for name in directories]
        found += [f"{prefix}{name}" for name in files]
    return sorted(found)


def snapshot(root: Path, *, leave_out: Path | None = None) -> dict[str, tuple[object, ...]]:
    """Return everything that is to be seen of a tree: kinds, modes, owners, sizes, times, contents."""
    found: dict[str, tuple[object, ...]] = {}
    for top, directories, files in os.walk(root):
        if leave_out is not None:
            directories[:] = [name for name in directories if Path(top) / name != leave_out]
        for name in (".", *directories, *files):
            path = Path(top) / name
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            link = os.readlink(path) if path.is_symlink() else ""
            found[str(path)] = (
                status.st_mode,
                status.st_uid,
                status.st_nlink,
                status.st_mtime_ns,
                content,
                link,
            )
    return found
