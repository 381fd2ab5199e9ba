"""What people have set for docker's command line and expect of ours: `psFormat`, `detachKeys` of its config.json.

docker/cli, "Configuration files". A file that can't be read is passed over here, as there: whoever needs the
credentials in it says what is wrong with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pycompose.engine.paths import docker_config_path

if TYPE_CHECKING:
    from collections.abc import Mapping


def setting(environment: Mapping[str, str], key: str) -> str:
    """Return a text of `$DOCKER_CONFIG/config.json`, or of `~/.docker/config.json`; "" where there is none."""
    try:
        with docker_config_path(environment).open("rb") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return ""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
