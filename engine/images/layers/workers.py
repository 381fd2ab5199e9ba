"""The parent's side of worker.py: unpack processes, and files that grow while they are unpacked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import ArchiveError, ImageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What a worker says of a layer. `size_bytes` are the sizes of its files."""

    diff_id: str
    entries: int
    size_bytes: int


class GrowingBlob:
    """How much of a file is there, for those who wait for more."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._have = 0
        self._end = False
        self._failed = False

    def advance(self, have: int) -> None:
        """Say that `have` bytes are in the file."""
        with self._condition:
            self._have = have
            self._condition.notify_all()

    def finish(self) -> None:
        """Say that the file is complete and verified."""
        with self._condition:
            self._end = True
            self._condition.notify_all()

    def fail(self) -> None:
        """Say that there won't be more."""
        with self._condition:
            self._failed = True
            self._condition.notify_all()

    def wait(self, beyond: int) -> tuple[int, bool] | None:
        """Wait for more than `beyond` bytes or the end; return (bytes, complete), None after a failure."""
        with self._condition:
            self._condition.wait_for(lambda: self._have > beyond or self._end or self._failed)
            return None if self._failed else (self._have, self._end)


def complete(path: Path) -> tuple[int, GrowingBlob]:
    """Return descriptor and progress of a file that is all there. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    growing = GrowingBlob()
    growing.advance(os.fstat(fd).st_size)
    growing.finish()
    return fd, growing


class DownloadFailed(Exception):  # noqa: N818 - not an error: somebody else has the reason
    """The download behind an unpack job has failed."""


class Worker:
    """One unpack process, started at once, used by one thread at a time. A context manager."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._file = ours.makefile("rb")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "pycompose.engine.images.layers.worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does, and wait for it."""
        self._process.kill()
        self._process.wait()
        self._file.close()
        self._socket.close()

    def unpack(self, blob: int, compression: str, staging: Path, growing: GrowingBlob) -> Unpacked:
        """Unpack the file behind descriptor `blob` into `staging`/diff, and write `staging`/report.json.

        `staging` lies in a scratch directory of the store. Closes `blob`. Raises ArchiveError (without the name
        of the layer, which the caller knows), ImageError for a full disk, DownloadFailed when `growing` fails;
        then the worker is of no more use.
        """
        try:
            return self._unpack(blob, compression, staging, growing)
        finally:
            os.close(blob)

    def _unpack(self, blob: int, compression: str, staging: Path, growing: GrowingBlob) -> Unpacked:
        state = growing.wait(-1)
        if state is None:
            raise DownloadFailed
        have, end = state
        job = {
            "scratch": str(staging.parent),
            "unpack": str(staging / "diff"),
            "report": str(staging / "report.json"),
            "compression": compression,
            "have": have,
            "end": end,
        }
        try:
            socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [blob])
            while not end:
                if (state := growing.wait(have)) is None:
                    raise DownloadFailed
                have, end = state
                self._send({"have": have, "end": end})
            line = self._file.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line:
            raise ArchiveError(
                "the process that unpacked it died", hint=f"exit status {self._process.poll()}"
            )
        return _answer(json.loads(line))

    def _send(self, message: dict[str, object]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")


def _answer(answer: dict[str, Any]) -> Unpacked:
    if "error" not in answer:
        return Unpacked(**answer)
    if "full" in answer:
        raise ImageError(f"cannot unpack: {answer['error']}", hint="free some space: pycompose image prune")
    raise ArchiveError(answer["error"], hint=answer["hint"])
