"""What containers can be called (moby daemon/names)."""

from __future__ import annotations

import re

from pycompose.engine.errors import PycomposeError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")


def check_container_name(place: str, name: str) -> None:
    """Raise PycomposeError, which begins with `place`, for what is no name."""
    if not _NAME.match(name):
        raise PycomposeError(
            f"{place}: not a container name",
            hint="at least two letters, digits, _ . and -, starting with a letter or digit",
        )
