"""A process that unpacks layers: `python -I -m pycompose.engine.images.layers.worker`, its socket is descriptor 0.

```
parent                                            worker
{"scratch": DIRECTORY, "unpack": DIFF, "report": FILE,
 "have": BYTES, "end": false, "compression": "gzip"}
                                       + descriptor   -->
{"have": BYTES, "end": bool}  (as the download grows) -->
                                                  <-- {"diff_id": …, "entries": …, "size_bytes": …}
                                                      or {"error": …, "hint": …, "full": errno}
```
One JSON object per line. The worker reads the blob from the file while it grows, so that a broken download
needs no rewinding here. It ends with its socket, and is killed with its parent; as it may outlive that by what
it is about to write, it holds the scratch directory (layout.py) itself. A hostile archive meets a process with
six capabilities and a memory limit, and in it a thread that can write nowhere but in the layer's directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

from pycompose.engine.errors import ArchiveError
from pycompose.engine.images.layers.compress import Budget, pieces
from pycompose.engine.images.layers.tarstream import TarReader
from pycompose.engine.images.layers.tree import OPEN_DIRECTORY
from pycompose.engine.images.layers.unpack import Unpacker
from pycompose.engine.linux.caps import drop_bounding, mask_of, permitted, set_capabilities
from pycompose.engine.linux.landlock import write_only_below
from pycompose.engine.linux.process import set_no_new_privileges, set_parent_death_signal
from pycompose.engine.linux.sockets import receive_fds

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_BYTES = 2 * 1024**3
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP")


class ParentGone(Exception):  # noqa: N818 - not an error: nobody waits for an answer any more
    """The parent has gone."""


class Channel:
    """JSON lines over the socket, descriptors along with them."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self._descriptors: list[int] = []

    def receive(self) -> dict[str, Any] | None:
        """Return the next message, None when the parent has gone."""
        while b"\n" not in self._buffer:
            data, descriptors, _ = receive_fds(self._socket, 65536, 1)
            self._descriptors += descriptors
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        value: dict[str, Any] = json.loads(line)
        return value

    def descriptor(self) -> int:
        """Return the descriptor that came with the last job."""
        return self._descriptors.pop(0)

    def send(self, message: dict[str, object]) -> None:
        """Send one message."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")


class GrowingFile:
    """Reads a file that somebody else still writes; the channel says how far it may go."""

    def __init__(self, fd: int, channel: Channel, *, have: int, end: bool) -> None:
        self._fd = fd
        self._channel = channel
        self._have = have
        self._end = end
        self._position = 0

    def read(self, size: int = 65536, /) -> bytes:
        """Return up to `size` bytes, waiting for them; b"" at the end. Raises ParentGone."""
        while self._position >= self._have:
            if self._end:
                return b""
            message = self._channel.receive()
            if message is None:
                raise ParentGone
            self._have, self._end = message["have"], message["end"]
        data = os.pread(self._fd, min(size, self._have - self._position), self._position)
        if not data:
            raise ArchiveError("the blob is shorter than announced")
        self._position += len(data)
        return data

    def drain(self) -> None:
        """Take the messages that are still to come for this file. Raises ParentGone."""
        while not self._end:
            message = self._channel.receive()
            if message is None:
                raise ParentGone
            self._end = message["end"]


def _hashed(source: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in source:
        digest.update(piece)
        yield piece


def unpack(job: dict[str, Any], channel: Channel) -> dict[str, object]:
    """Do one job, return the answer; the thread is of no other use then. Raises ArchiveError, OSError."""
    blob = channel.descriptor()
    scratch = os.open(job["scratch"], OPEN_DIRECTORY)
    fcntl.flock(scratch, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.mkdir(job["unpack"], 0o755)
    root = os.open(job["unpack"], OPEN_DIRECTORY)
    source = GrowingFile(blob, channel, have=job["have"], end=job["end"])
    try:
        with open(job["report"], "w", encoding="ascii") as file:
            write_only_below([root])
            digest = hashlib.sha256()
            stream = _hashed(pieces(source, job["compression"], Budget(**job.get("budget", {}))), digest)
            report = Unpacker(root).unpack(TarReader(stream))
            json.dump(report.to_json(), file)
    except (ArchiveError, OSError, MemoryError):
        source.drain()
        raise
    finally:
        os.close(blob)
        os.close(root)
        os.close(scratch)
    source.drain()
    return {
        "diff_id": f"sha256:{digest.hexdigest()}",
        "entries": report.entries,
        "size_bytes": report.size_bytes,
    }


def serve(channel: Channel) -> None:
    """Answer jobs until the parent goes, each on a thread that ends with it: confined once is for good.

    Ends when one could not be answered, by a defect of ours: the parent, which waits for it, learns it so.
    """
    while (job := channel.receive()) is not None:
        done = threading.Event()
        thread = threading.Thread(target=_answer, args=(job, channel, done))
        thread.start()
        thread.join()
        if not done.is_set():
            sys.exit(1)


def _answer(job: dict[str, Any], channel: Channel, done: threading.Event) -> None:
    try:
        answer = unpack(job, channel)
    except ArchiveError as exc:
        answer = {"error": exc.message, "hint": exc.hint}
    except MemoryError:
        answer = {
            "error": f"unpacking needs more than {MEMORY_BYTES} bytes of memory: refused",
            "hint": None,
        }
    except OSError as exc:
        answer = {
            "error": f"{os.fsdecode(exc.filename or '')}: {exc.strerror}",
            "hint": None,
            "full": exc.errno,
        }
    except ParentGone:
        return
    channel.send(answer)
    done.set()


def confine() -> None:
    """Give up what unpacking doesn't need: most capabilities for good, memory without end, core dumps, life alone.

    Raises OSError.
    """
    if os.geteuid() == 0:
        mask = mask_of(CAPABILITIES) & permitted()
        drop_bounding(mask)
        set_capabilities(mask, mask)
    set_no_new_privileges()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_parent_death_signal(signal.SIGKILL)


def main() -> None:
    """Serve on descriptor 0."""
    confine()
    serve(Channel(socket.socket(fileno=0)))


if __name__ == "__main__":
    main()
