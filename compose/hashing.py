"""When a service counts as changed: the hash of its resolved configuration (compose-spec.md 11).

Compatible with Docker Compose in meaning, not in its bytes: what only affects building, pulling, scaling or ordering
is left out; the resolved environment is in.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

IGNORED = ("build", "pull_policy", "scale", "depends_on", "profiles")


def service_hash(node: Any) -> str:
    """Return the hex digest of a canonical service."""
    kept = {key: value for key, value in node.items() if key not in IGNORED}
    deploy = kept.get("deploy")
    if deploy:
        kept["deploy"] = {key: value for key, value in deploy.items() if key != "replicas"}
        if not kept["deploy"]:
            del kept["deploy"]
    return resource_hash(kept)


def resource_hash(node: Any) -> str:
    """Return the hex digest of any JSON value; key order doesn't matter."""
    text = json.dumps(node, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
