"""What `x-ready` asks for: readiness without a probe in the image.

    x-ready: {tcp: 5432}
    x-ready: {http: 8080/health}        200 to 399 is ready
    x-ready: {log: "ready to accept"}   a regular expression over the output of this run

It takes the place of a healthcheck where the service (and its image) has none: the same states, the same timing, and
`depends_on: condition: service_healthy` waits for it. With several keys all of them have to hold.
"""

from __future__ import annotations

import re
from typing import Any

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import EngineError

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
