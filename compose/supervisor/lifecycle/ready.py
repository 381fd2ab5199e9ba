"""Asks from outside whether a service answers (`x-ready`: policy/ready.py has what can be asked)."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from pycompose.engine.logs.reader import read_logs

if TYPE_CHECKING:
    from pathlib import Path

    from pycompose.policy.ready import ReadySpec


def check(spec: ReadySpec, *, address: str, logs: Path, since_ns: int, timeout_s: float) -> str:
    """Return "" when everything asked holds now, else what doesn't. Blocks at most about `timeout_s`."""
    if spec.log and not any(
        re.search(spec.log, line.data.decode(errors="replace")) for line in read_logs(logs, since_ns=since_ns)
    ):
        return f"no line matches {spec.log!r}"
    if (spec.tcp or spec.http_port) and not address:
        return "it has no address"
    import http.client  # noqa: PLC0415 - 15 ms that most projects don't need

    try:
        if spec.tcp:
            socket.create_connection((address, spec.tcp), timeout_s).close()
        if spec.http_port:
            connection = http.client.HTTPConnection(address, spec.http_port, timeout=timeout_s)
            try:
                connection.request("GET", spec.http_path, headers={"User-Agent": "pycompose"})
                status = connection.getresponse().status
            finally:
                connection.close()
            if not 200 <= status < 400:
                return f"http {spec.http_port}{spec.http_path}: status {status}"
    except (OSError, http.client.HTTPException) as exc:
        return f"{exc.strerror or exc}" if isinstance(exc, OSError) else f"{type(exc).__name__}: {exc}"
    return ""
