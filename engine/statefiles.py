"""Files that are there whole or not at all: state, with a schema number, and what users ask for.

Locks that die with their owner.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import stat
from typing import IO, TYPE_CHECKING, Any

from pycompose.engine.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = 1
_READ_BYTES = 16 * 1024
_numbers = itertools.count()


def write_json(path: Path, value: dict[str, Any], *, durable: bool = True) -> None:
    """Replace `path` as a whole: a reader sees the old text or the new, never half.

    Adds `"schema": 1`. `durable` is False for files on tmpfs, where fsync is only cost.
    Raises OSError with `path` as its file name, and leaves nothing beside it.
    """
    # Threads of one process may write the same file at the same time.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # No file object: it costs more than the file.
            left = memoryview(json.dumps({"schema": SCHEMA, **value}, sort_keys=True).encode())
            while left:
                left = left[os.write(fd, left) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        exc.filename, exc.filename2 = str(path), None
        raise


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """Yield a file that appears at `path` when the block has ended well; raises OSError, and leaves nothing then.

    A device, a FIFO or a link (`/dev/stdout`) stays what it is and is written to: one that takes its place would
    be gone for the whole machine.
    """
    try:
        replaceable = stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        replaceable = True
    if not replaceable:
        with open(path, "wb") as file:
            yield file
        return
    temporary = f"{path}.part"
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def read_whole(path: Path | str) -> bytes:
    """Return what is in a file that doesn't change, or in one of /proc with a single line; raises OSError."""
    # No file object: it makes twice as many calls.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(fd, _READ_BYTES)]
        while len(parts[-1]) == _READ_BYTES:
            parts.append(os.read(fd, _READ_BYTES))
    finally:
        os.close(fd)
    return b"".join(parts)


def read_json(path: Path | str) -> dict[str, Any]:
    """Return the object in `path`.

    Raises FileNotFoundError when there is none, StateError when it is not ours to read: damaged, or
    written by a version whose schema we don't know. Never guesses.
    """
    try:
        value = json.loads(read_whole(path))
    except ValueError as exc:
        raise StateError(f"{path}: cannot read state: damaged ({exc})", hint="remove the file") from exc
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        found = value.get("schema") if isinstance(value, dict) else type(value).__name__
        raise StateError(
            f"{path}: cannot read state: schema {found}, this version knows {SCHEMA}",
            hint="it was written by another version of pycompose; use that one, or remove the file",
        )
    return value


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold flock(2) on `path` (a file, created if missing, or a directory) for the block.

    The lock belongs to the caller: check and act inside one block. With `wait` False, raises StateError
    when somebody else has it.
    """
    flags = (
        os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
        if path.is_dir()
        else os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    )
    fd = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except OSError as exc:
            if exc.errno != errno.EWOULDBLOCK:
                raise
            raise StateError(f"{path}: cannot lock: held by another process") from exc
        yield
    finally:
        os.close(fd)
