"""Readiness without a probe in the image: `x-ready` asks from outside whether a service answers.

    x-ready: {tcp: 5432}
    x-ready: {http: 8080/health}        200 to 399 is ready
    x-ready: {log: "ready to accept"}   a regular expression over the output of this run

It takes the place of a healthcheck where the service (and its image) has none: the same states, the same timing, and
`depends_on: condition: service_healthy` waits for it. With several keys all of them have to hold.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import EngineError
from pycompose.engine.logs.reader import read_logs

if TYPE_CHECKING:
    from pathlib import Path

KEY = "x-ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadySpec:
    """What is asked; 0 and "" are "not asked"."""

    tcp: int = 0
    http_port: int = 0
    http_path: str = "/"
    log: str = ""


def ready_spec(service: str, value: Any) -> ReadySpec | None:
    """Return what the value of `x-ready` asks for, None without one; raises EngineError naming the service."""
    if value is None:
        return None
    what = f"service {service}: {KEY}"
    if not isinstance(value, dict) or not value or set(value) - {"tcp", "http", "log"}:
        raise EngineError(
            f"{what}: expected a mapping with tcp, http or log", hint=f"for example {KEY}: {{tcp: 5432}}"
        )
    try:
        port, _, path = str(value.get("http", "0")).partition("/")
        spec = ReadySpec(
            tcp=int(value.get("tcp", 0)),
            http_port=int(port),
            http_path=f"/{path}",
            log=str(value.get("log", "")),
        )
        re.compile(spec.log)
    except (ValueError, re.error) as exc:
        raise EngineError(
            f"{what}: {exc}", hint="tcp: PORT, http: PORT/PATH, log: REGULAR EXPRESSION"
        ) from exc
    return spec


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
