"""Connections that a network namespace has accepted, or is about to: whoever ends its processes now cuts them off."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/tcp_states.h, as proc_net_tcp(5) prints them.
_LISTEN = "0A"
# From the first packet until all that was said has arrived. TIME_WAIT and waiting for the other side to close are over.
_OPEN = frozenset(
    {"01", "03", "04", "08", "09", "0B"}
)  # ESTABLISHED SYN_RECV FIN_WAIT1 CLOSE_WAIT LAST_ACK CLOSING


def count_inbound(pid: int) -> int:
    """Return how many TCP connections to its listening ports the namespace of a process has; 0 when that has gone."""
    lines: list[str] = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            lines += list(file)[1:]
    return _count(lines)


def _count(lines: Iterable[str]) -> int:
    """Count in rows of proc_net_tcp(5)."""
    sockets = [(words[1].rpartition(":")[2], words[3]) for words in map(str.split, lines)]
    listening = {port for port, state in sockets if state == _LISTEN}
    return sum(port in listening and state in _OPEN for port, state in sockets)
