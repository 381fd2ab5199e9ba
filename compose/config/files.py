"""Reading files for the loader: every way a read can go wrong as one of our errors."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

from pycompose.errors import ConfigError, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_STREAM_BYTES = 16 * 1024 * 1024  # a device may never end
REMOTE_PREFIXES = ("https://", "http://", "git://", "ssh://", "git@", "github.com/", "oci://")


# Where the files go that are being read, while somebody wants to know.
_noted: list[list[str]] = []


@contextlib.contextmanager
def noting() -> Iterator[list[str]]:
    """Yield a list to which each file is added that is read in the block, or should have been and isn't there."""
    found: list[str] = []
    _noted.append(found)
    try:
        yield found
    finally:
        _noted.pop()


def note(path: str) -> None:
    """Tell who wants to know that what is loaded depends on a file, or on there being none."""
    for found in _noted:
        if path not in found:
            found.append(path)


def read_bytes(path: str, shown: str, *, where: Location | None = None, what: str = "file") -> bytes:
    """Return the content of `path`, of standard input for "-". Raises ConfigError naming `shown`, at `where`."""
    place = where or Location(shown)
    name = f"{what} {shown}" if where else f"the {what}"
    note(path)
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _cannot(name, error, place, hint=_nearest(path)) from None
    except OSError as error:
        raise _cannot(name, error, place) from None
    except ValueError:
        raise ConfigError(f"cannot read {name!r}: the name contains a NUL byte", location=place) from None
    try:
        return _content(descriptor, name, place)
    except OSError as error:
        raise _cannot(name, error, place) from None
    finally:
        os.close(descriptor)


def _content(descriptor: int, name: str, place: Location) -> bytes:
    """Return what an open file holds, unless it is a directory or too much."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"cannot read {name}: it is a directory", location=place)
    limit = MAX_FILE_BYTES if stat.S_ISREG(status.st_mode) else MAX_STREAM_BYTES
    os.set_blocking(descriptor, True)
    data = _read_all(descriptor, limit + 1)
    if len(data) > limit:
        raise ConfigError(f"cannot read {name}: larger than {limit >> 20} MiB", location=place)
    return data


def _read_all(descriptor: int, limit: int) -> bytes:
    parts = []
    total = 0
    while total < limit and (part := os.read(descriptor, 1 << 20)):
        parts.append(part)
        total += len(part)
    return b"".join(parts)


def read_text(path: str, shown: str, *, where: Location | None = None, what: str = "file") -> str:
    """Return the content of `path` as UTF-8. Raises ConfigError."""
    try:
        return read_bytes(path, shown, where=where, what=what).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text", location=Location(shown, line, 1)) from None


def display(path: str, working_dir: str) -> str:
    """Return a path as messages show it: relative when it is below the working directory, which isn't the root."""
    if path == "-":
        return "<stdin>"
    return path.removeprefix(f"{working_dir}/")


def is_remote(path: str) -> bool:
    """Tell git and OCI references, which this loader doesn't fetch, from paths."""
    return path.startswith(REMOTE_PREFIXES)


def refuse_remote(path: str, where: Location | None = None) -> None:
    """Raise for a remote resource: this is the place where fetching one would begin."""
    if is_remote(path):
        raise ConfigError(
            f"{path}: remote compose files are not supported",
            location=where,
            hint="clone the repository, and give the path of the file",
        )


def _cannot(name: str, error: OSError, place: Location, hint: str | None = None) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"cannot read {name}: {reason}", location=place, hint=hint)


def _nearest(path: str) -> str | None:
    """Return a hint at the file beside `path` whose name is most like it, if one is."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for this message

    directory, name = os.path.split(path)
    try:
        close = get_close_matches(name, os.listdir(directory or "."), 1)
    except OSError:
        return None
    return f'did you mean "{close[0]}"?' if close else None
