"""What Compose 5 prints where 2.40.3, the oracle, prints something else for every project: a default less."""

from __future__ import annotations

import re
from typing import Any

# In JSON and in YAML; alone, `bind` is an empty mapping.
_ALONE = (
    (re.compile(r'\{\n *"create_host_path": true\n *\}'), "{}"),
    (re.compile(r"^( *)bind:\n\1 +create_host_path: true\n(?!\1 )", re.MULTILINE), r"\1bind: {}\n"),
)
_AMONG_OTHERS = re.compile(
    r'^ *"create_host_path": true,\n|,\n *"create_host_path": true$|^ *create_host_path: true\n', re.MULTILINE
)


def text(printed: str) -> str:
    """Return what `config` of the oracle prints, in JSON or YAML, as Compose 5 prints it."""
    for pattern, instead in _ALONE:
        printed = pattern.sub(instead, printed)
    return _AMONG_OTHERS.sub("", printed)


def tree(printed: dict[str, Any]) -> dict[str, Any]:
    """Return a project of the oracle as Compose 5 has it; nothing else has a mount's `bind`."""
    services = {
        name: {**service, "volumes": [_mount(mount) for mount in service["volumes"]]}
        if "volumes" in service
        else service
        for name, service in printed.get("services", {}).items()
    }
    return {**printed, "services": services} if "services" in printed else printed


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    bind = mount.get("bind")
    if bind is None:
        return mount
    kept = {key: value for key, value in bind.items() if key != "create_host_path" or value is not True}
    return {**mount, "bind": kept}
