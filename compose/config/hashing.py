"""When a service counts as changed: the hash of its resolved configuration.

The same digest as `docker compose config --hash`: what only affects building, pulling, scaling or ordering is left
out; the resolved environment is in.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pycompose.config.json_text import compact_json
from pycompose.config.tree import Struct
from pycompose.model import IDMAP

IGNORED = frozenset({"build", "pull_policy", "scale", "depends_on", "profiles"})


def service_hash(node: Any) -> str:
    """Return the hex digest of a marshalled service; an env file that must be there is its path, as in compose-go.

    Extensions are left out there: the one that changes what a mount shows is added to the digest.
    """
    kept = Struct({key: value for key, value in node.items() if key not in IGNORED})
    if "deploy" in kept:
        kept["deploy"] = Struct({key: value for key, value in kept["deploy"].items() if key != "replicas"})
    if "env_file" in kept:
        kept["env_file"] = [file["path"] if file["required"] else file for file in kept["env_file"]]
    idmaps = [mount[IDMAP] for mount in node.get("volumes") or () if IDMAP in mount]
    return _digest(compact_json(kept, "service") + (f"{IDMAP}: {idmaps}" if idmaps else ""))


def resource_hash(node: Any, name: str) -> str:
    """Return the hex digest of a marshalled network or volume."""
    return _digest(compact_json(node, name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
