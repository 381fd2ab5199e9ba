"""How supervisor and keeper talk: JSON messages with descriptors over a seqpacket socket, both ends.

```
client                                      keeper
{"id": 0, "op": "hello", "protocol": 4} ->
                                        <-  {"id": 0, "result": {"pid": …}} or {"id": 0, "error": …} and EOF
                                            (+ terminals and inputs, of a keeper that speaks another protocol)
{"id": n, "op": …, …} + descriptors     ->
                                        <-  {"id": n, "result": {…}} + descriptors, or {"id": n, "error": {…}}
                                        <-  {"event": "exit", …}     at any time
```
A message has at most 64 KiB and 64 descriptors; replies come in any order. What is bigger is a file that the
message names.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pycompose.engine import errors
from pycompose.engine.errors import ChildError, EngineError, ExecError, KeeperMismatch, PycomposeError
from pycompose.engine.linux.sockets import receive_fds

PROTOCOL = 4
MAX_BYTES = 64 * 1024
MAX_FDS = 64

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """Return the bytes of a message; raises EngineError for one that is too long."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_BYTES:
        what = message.get("op") or message.get("event") or "reply"
        raise EngineError(f"keeper: cannot send {what}: {len(data)} bytes are more than {MAX_BYTES}")
    return data


def send(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one encoded message; raises OSError, and EngineError for more descriptors than the other end takes."""
    if len(fds) > MAX_FDS:
        raise EngineError(f"keeper: cannot send {len(fds)} descriptors in one message: more than {MAX_FDS}")
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """Return the next message and its descriptors, None at the end; raises EngineError for what isn't one."""
    data, fds, flags = receive_fds(sock, MAX_BYTES + 1, MAX_FDS)
    if not data:
        return None
    whole = not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
    message = None
    with contextlib.suppress(ValueError, RecursionError):
        message = json.loads(data) if whole else None
    if isinstance(message, dict):
        return message, fds
    for fd in fds:
        os.close(fd)
    raise EngineError(f"keeper: cannot read a message: {'not an object' if whole else 'too long'}")


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Return a name for the socket at `path` that fits the 108 bytes of sun_path, however deep it lies."""
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def error_to_json(exc: BaseException) -> Message:
    """Return an error as it travels; one that isn't ours becomes an EngineError that tells its type."""
    if not isinstance(exc, PycomposeError):
        exc = EngineError(f"keeper: unexpected error: {type(exc).__name__}: {exc}")
    extra = {"step": exc.step, "errno": exc.errno} if isinstance(exc, ChildError) else {}
    if isinstance(exc, KeeperMismatch):
        extra = {"pid": exc.pid, "terminals": exc.terminals}
    return {**exc.to_json(), **extra}


def error_from_json(value: Message) -> PycomposeError:
    """Return the error that `error_to_json` took apart."""
    message, hint = value["message"], value.get("hint")
    kind = getattr(errors, value["type"], EngineError)
    if kind is ExecError:
        return ExecError(message, exit_code=value["exit_code"], hint=hint)
    if kind is ChildError:
        return ChildError(message, step=value["step"], errno=value["errno"], hint=hint)
    if kind is KeeperMismatch:
        terminals = tuple(map(str, value.get("terminals", ())))
        return KeeperMismatch(message, pid=int(value["pid"]), terminals=terminals, hint=hint)
    if isinstance(kind, type) and issubclass(kind, PycomposeError):
        return kind(message, hint=hint)
    return EngineError(message, hint=hint)
