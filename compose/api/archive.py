"""/containers/NAME/archive: files into and out of a container as a tar; and …/export, all of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import posixpath
import stat
from typing import IO, TYPE_CHECKING, Any

from pycompose.api import query
from pycompose.api.errors import ApiError
from pycompose.api.http import ApiAnswer, ApiCall, Outlet, done
from pycompose.api.images import outward
from pycompose.client.copy import (
    JoinedInput,
    clean,
    end_of_links,
    held_stopped,
    into_root,
    look_inside,
    source_inside,
)
from pycompose.engine.errors import EngineError
from pycompose.engine.filesystem import transfer, view
from pycompose.engine.images.layers.compress import MAGIC_BYTES, Budget, detect, pieces
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.images.layers.tarwriter import TarWriter
from pycompose.machine import containers
from pycompose.machine.inspect_container import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

# Kinds and bits of a mode, and what they are in Go (io/fs FileMode).
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    """Return a mode of stat(2) as Go numbers it."""
    bits = sum(go for ours, go in _GO_BITS.items() if mode & ours)
    return _GO_KINDS.get(stat.S_IFMT(mode), 0) | bits | (mode & 0o777)


@contextlib.contextmanager
def _root(call: ApiCall) -> Iterator[int]:
    container = containers.find(call.context, call.names[0])
    with (
        held_stopped(call.context, container) as now,
        view.whole(call.context.paths, now.config, now.state) as root,
    ):
        yield root


def _path(call: ApiCall) -> str:
    path = query.text(call, "path")
    if not path:
        raise ApiError(400, "missing path")
    return path


def _missing(call: ApiCall, path: str) -> ApiError:
    return ApiError(404, f"Could not find the file {path} in container {call.names[0]}")


def _described(call: ApiCall, root: int, path: str) -> dict[str, Any]:
    """Return what the header of an answer says of a path. Raises ApiError."""
    found = look_inside(root, clean(path))
    if found is None:
        raise _missing(call, path)
    if path.endswith(("/", "/.")) and stat.S_ISLNK(found[0]):
        target, mode = end_of_links(clean(path), lambda name: look_inside(root, name))
        if mode is None:
            raise _missing(call, path)
        path = target
    fd = source_inside(root, path.rstrip("/") or "/", follow=False).fd
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    link = found[1]
    if link and not link.startswith("/"):
        link = posixpath.normpath(posixpath.join(posixpath.dirname(clean(path)), link))
    return {
        "name": posixpath.basename(clean(path)) or "/",
        "size": status.st_size,
        "mode": go_mode(status.st_mode),
        "mtime": stamp(status.st_mtime_ns),
        "linkTarget": link,
    }


def _header(described: dict[str, Any]) -> tuple[str, str]:
    text = base64.b64encode(json.dumps(described, separators=(",", ":")).encode()).decode()
    return ("X-Docker-Container-Path-Stat", text)


def describe(call: ApiCall) -> ApiAnswer:
    """HEAD …/archive."""
    with _root(call) as root:
        return ApiAnswer(headers=(_header(_described(call, root, _path(call))),))


def get(call: ApiCall) -> ApiAnswer:
    """GET …/archive: a file or a directory with all below it, by its own name."""
    path = _path(call)
    with _root(call) as root:
        described = _described(call, root, path)

    def stream(outlet: Outlet) -> None:
        out = outward(outlet)
        with _root(call) as root:
            source = source_inside(root, path, follow=path.endswith(("/", "/.")))
            try:
                tar = TarWriter(out)
                name = "." if path.endswith("/.") else posixpath.basename(clean(path)) or "."
                transfer.write_tar(transfer.Walker().walk(source.fd, os.fsencode(name)), tar)
                tar.close()
            finally:
                os.close(source.fd)
        out.flush()

    return ApiAnswer(headers=(("Content-Type", "application/x-tar"), _header(described)), stream=stream)


def put(call: ApiCall) -> ApiAnswer:
    """PUT …/archive: unpack a tar into a directory that is there."""
    path = _path(call)
    with _root(call) as root:
        target, mode = end_of_links(clean(path), lambda name: look_inside(root, name))
        if mode is None:
            raise _missing(call, path)
        if not stat.S_ISDIR(mode):
            raise ApiError(400, "extraction point is not a directory")
        # A directory never takes the place of something else here, nor the other way round: so the parameter
        # noOverwriteDirNonDir says nothing new.
        _unpack(root, target, call.upload)
    return done(200)


def _unpack(root: int, directory: str, upload: IO[bytes] | None) -> None:
    if upload is None:
        return
    start = upload.read(MAGIC_BYTES)
    if not start:
        return
    try:
        into_root(root, directory).tar(TarReader(pieces(JoinedInput(start, upload), detect(start), Budget())))
    except OSError as exc:
        raise EngineError(f"unpack into {directory}: {exc.filename or ''}: {exc.strerror}") from exc


def export(call: ApiCall) -> ApiAnswer:
    """GET …/export."""
    from pycompose.client import export as exporting  # noqa: PLC0415 - few ask

    container = containers.find(call.context, call.names[0])

    def stream(outlet: Outlet) -> None:
        out = outward(outlet)
        exporting.write_merged(call.context, container, out)
        out.flush()

    return ApiAnswer(headers=(("Content-Type", "application/octet-stream"),), stream=stream)
