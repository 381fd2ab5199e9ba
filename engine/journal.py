"""What happens to images, networks and volumes, in lines of one file for the machine, which whoever does it appends to.

There is no daemon that could be asked. Containers have journals of their own, which their supervisors write; here is
what none has a part in (`commit`). Docker
forgets its events with its end, and remembers 256: ours lie in memory, too (RUN), and the file has a size.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.statedirs import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pycompose.engine.paths import StatePaths

MOST_BYTES = 64 << 10
NAME = "events.jsonl"
_PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEvent:
    """Something that has happened to a thing of a `kind` (image, network, volume), in Docker's words: `action` create.

    `id` is what Docker has there: the id of a network or container, the name of a volume, id or name of an image.
    """

    time_ns: int
    kind: str
    action: str
    id: str
    attributes: dict[str, str]


def record(paths: StatePaths, kind: str, action: str, actor: str, attributes: Mapping[str, str]) -> None:
    """Append an event. What can't be written isn't: nobody's work fails for it."""
    line = json.dumps([time.time_ns(), kind, action, actor, dict(attributes)], separators=(",", ":"))
    with contextlib.suppress(OSError):
        _append(paths.journal, line.encode("utf-8", "surrogateescape") + b"\n")


def _append(directory: Path, line: bytes) -> None:
    path = os.path.join(directory, NAME)
    fd = _locked(directory, path)
    try:
        os.write(fd, line)
        if os.fstat(fd).st_size > MOST_BYTES:
            os.rename(path, f"{path}.1")
    finally:
        os.close(fd)


def _locked(directory: Path, path: str) -> int:
    """Return the file that is at `path`, for one writer at a time: nobody writes to one that was put aside."""
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            make_directory(directory)
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == os.fstat(fd).st_ino:
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


class JournalReader:
    """Reads what is new since the last time; begins with what is there, or (`from_now`) behind it."""

    def __init__(self, paths: StatePaths, *, from_now: bool) -> None:
        self._path = os.path.join(paths.journal, NAME)
        self._fd = -1
        self._rest = b""
        if from_now:
            with contextlib.suppress(OSError):
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                os.lseek(self._fd, 0, os.SEEK_END)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> Iterator[ResourceEvent]:
        """Yield what has been appended."""
        yield from self._lines()
        with contextlib.suppress(FileNotFoundError):
            if self._fd < 0 or os.stat(self._path).st_ino != os.fstat(self._fd).st_ino:
                yield from self._lines()  # of the one that has been put aside meanwhile
                self.close()
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                yield from self._lines()

    def _lines(self) -> Iterator[ResourceEvent]:
        while self._fd >= 0 and (data := os.read(self._fd, _PIECE_BYTES)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if (event := _parsed(line)) is not None:
                    yield event


def past(paths: StatePaths) -> list[ResourceEvent]:
    """Return what is remembered, oldest first."""
    found = []
    for name in (f"{NAME}.1", NAME):
        with contextlib.suppress(OSError):
            lines = (paths.journal / name).read_bytes().splitlines()
            found += [event for line in lines if (event := _parsed(line)) is not None]
    return found


def _parsed(line: bytes) -> ResourceEvent | None:
    try:
        time_ns, kind, action, actor, attributes = json.loads(line)
    except ValueError:  # half a line: somebody was killed
        return None
    return ResourceEvent(time_ns=time_ns, kind=kind, action=action, id=actor, attributes=attributes)
