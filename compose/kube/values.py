"""How Kubernetes writes quantities, seconds and texts."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

_EXPANDED = re.compile(r"\$(?=[$(])")


def literal(text: str) -> str:
    """Return text for `command`, `args`, an environment value or a probe, where the kubelet expands `$(NAME)`.

    `$$` is one `$` there, and any other `$` itself: Kubernetes' API reference, Container v1 core, `args`.
    """
    return _EXPANDED.sub("$$", text)


def cpu(processors: float) -> str:
    """Return a fraction of processors as thousandths, at least one: "500m"."""
    return f"{max(1, round(processors * 1000))}m"


def memory(size_bytes: int) -> str:
    """Return a size in the largest binary unit that divides it: "64Mi"."""
    for exponent, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size_bytes and size_bytes % 1024**exponent == 0:
            return f"{size_bytes // 1024**exponent}{unit}"
    return str(size_bytes)


def seconds(duration_s: float, least: int = 1) -> int:
    """Return whole seconds, which is all that probes and grace periods know, rounded up."""
    return max(least, math.ceil(duration_s))


def digest(value: Any, length: int = 8) -> str:
    """Return the first hexadecimal digits of what tells a JSON value from others."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:length]
