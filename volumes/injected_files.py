"""Secrets and configs: small files made for one container, with the owner and mode that were asked for.

They lie below the container's run directory (tmpfs: nothing reaches the disk) and are bind-mounted read-only, so they
work with `read_only: true` too. Docker ignores uid, gid and mode for files; here they count.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycompose.engine.config import Mount, MountKind
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import VolumeError
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFile:
    """One secret or config for one container: `target` is absolute there, `content` its bytes."""

    name: str
    target: str
    content: bytes
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


def write_files(directory: Path, files: list[InjectedFile]) -> list[Mount]:
    """Write the files into `directory` (made 0700) and return their mounts; raises VolumeError."""
    mounts = []
    if files:
        make_directory(directory)
    for index, file in enumerate(files):
        path = directory / str(index)
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
        mounts.append(Mount(kind=MountKind.BIND, source=str(path), target=file.target, read_only=True))
    return mounts
