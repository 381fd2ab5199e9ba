"""Lines for systemd's journal, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Field names are those of Docker's journald driver, so that queries written for it go on working.
"""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING

from pycompose.engine.logs.sender import LogServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycompose.engine.config import ContainerConfig

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}


def server() -> LogServer:
    """Return where the journal listens."""
    return LogServer(family=socket.AF_UNIX, kind=socket.SOCK_DGRAM, address=SOCKET)


def encoder(config: ContainerConfig) -> Callable[[str, bytes, bool], bytes]:
    """Return what makes the message of a line of this container."""
    tag = config.log.tag or config.id[:12]
    fields = {
        "CONTAINER_ID": config.id[:12],
        "CONTAINER_ID_FULL": config.id,
        "CONTAINER_NAME": config.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": config.image,
        "SYSLOG_IDENTIFIER": tag,
    }
    return functools.partial(_message, "".join(f"{key}={value}\n" for key, value in fields.items()).encode())


def _message(fields: bytes, stream: str, line: bytes, partial: bool) -> bytes:  # noqa: FBT001 - RemoteLog's signature
    mark = b"CONTAINER_PARTIAL_MESSAGE=true\n" if partial else b""
    return b"%sPRIORITY=%s\n%sMESSAGE=%s\n" % (fields, _PRIORITIES[stream], mark, line)
