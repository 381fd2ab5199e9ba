"""Secrets and configs in a container: a file of the machine as it is, or a small file made for this container.

A file of the machine is bind-mounted, so that what is changed in it is seen at once, and its owner and mode count as
everywhere. One whose owner or mode is to be another (Docker ignores that), and what comes from the environment or from
the compose file, is made anew for each start below the container's run directory (tmpfs: nothing reaches the disk). All
are mounted read-only, so they work with `read_only: true` too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.config import Mount, MountKind
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import VolumeError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFile:
    """One secret or config for one container, at `target` (absolute) there: the file `source`, or one of `content`."""

    name: str
    target: str
    source: str = ""
    content: bytes = b""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


def read_source(what: str, path: str) -> bytes:
    """Return the content of the host file behind a secret or config; raises VolumeError naming `what`."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise VolumeError(f"{what}: cannot read {path}: {exc.strerror}") from exc
    if len(content) > MAX_BYTES:
        raise VolumeError(f"{what}: {path} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return content


def write_files(directory: Path, files: Sequence[InjectedFile]) -> None:
    """Make those of the files anew, in `directory` (0700), that aren't the machine's own; raises VolumeError."""
    for index, file in enumerate(files):
        if file.source:
            continue
        path = make_directory(directory) / str(index)
        try:
            path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                os.write(fd, file.content)
                os.fchown(fd, file.uid, file.gid)
                os.fchmod(fd, file.mode)
            finally:
                os.close(fd)
        except OSError as exc:
            raise VolumeError(f"{file.name}: cannot write {path}: {exc.strerror}") from exc


def mounts_of(directory: Path, files: Sequence[InjectedFile]) -> list[Mount]:
    """Return the mounts of files that `write_files` has made in `directory`, in the same order."""
    sources = [file.source or str(directory / str(index)) for index, file in enumerate(files)]
    return [
        Mount(kind=MountKind.BIND, source=source, target=file.target, read_only=True)
        for source, file in zip(sources, files, strict=True)
    ]
