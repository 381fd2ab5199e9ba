"""Sending a container's lines to systemd's journal: its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Field names are those of Docker's journald driver, so that queries written for it go on working.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pycompose.engine.errors import EngineError
from pycompose.engine.statefiles import read_json

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}
_SHORT_ID = 12


class Journal:
    """One container's way into the journal. A journal that is stuck or away doesn't stop a container."""

    def __init__(self, container: Path, address: str = SOCKET) -> None:
        """Take the names from the `config.json` in `container`; raises EngineError when there is no journal."""
        self.lost_lines = 0
        self._address = address
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            self._socket.connect(address)
        except OSError as exc:
            self._socket.close()
            raise EngineError(
                f"logging.driver: cannot use journald: {address}: {exc.strerror}",
                hint="json-file needs no journal",
            ) from exc
        config = read_json(container / "config.json")
        fields = {
            "CONTAINER_ID": config["id"][:_SHORT_ID],
            "CONTAINER_ID_FULL": config["id"],
            "CONTAINER_NAME": config["name"],
            "CONTAINER_TAG": config["id"][:_SHORT_ID],
            "IMAGE_NAME": config.get("image", ""),
            "SYSLOG_IDENTIFIER": config["id"][:_SHORT_ID],
        }
        self._fields = "".join(f"{key}={value}\n" for key, value in fields.items()).encode()

    def send(self, stream: str, data: bytes) -> None:
        """Send each line of what was read from `stream`; the end of it without a newline is marked as partial."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._send(stream, line, b"")
        if rest:
            self._send(stream, rest, b"CONTAINER_PARTIAL_MESSAGE=true\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, stream: str, line: bytes, mark: bytes) -> None:
        message = b"%sPRIORITY=%s\n%sMESSAGE=%s\n" % (self._fields, _PRIORITIES[stream], mark, line)
        try:
            self._socket.sendto(message, self._address)  # by name: the journal may have been restarted
        except OSError:
            self.lost_lines += 1
