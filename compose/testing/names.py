"""What a test names has to be in the files: else it would have no effect, and nobody would know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycompose.engine.errors import PycomposeError
from pycompose.errors import unknown_service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.config.load import Loaded


def check_names(
    loaded: Loaded, *, profiles: Iterable[str] = (), services: Iterable[str] = (), volumes: Iterable[str] = ()
) -> None:
    """Raise PycomposeError for the first name that isn't one of the files, with the nearest one, or all."""
    known = {**loaded.project.services, **loaded.project.disabled_services}
    for name in services:
        if name not in known:
            raise unknown_service(name, known)
    found = {profile for service in known.values() for profile in service.profiles}
    _among("profile", [name for name in profiles if name != "*"], found)
    used = {mount.source for service in known.values() for mount in service.volumes if mount.kind == "volume"}
    _among("volume", volumes, used)


def _among(kind: str, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name in known:
            continue
        from difflib import get_close_matches  # noqa: PLC0415 - only for this message

        close = get_close_matches(name, known, 1)
        hint = f'did you mean "{close[0]}"?' if close else f"{kind}s: {', '.join(sorted(known)) or 'none'}"
        raise PycomposeError(f"no such {kind}: {name}", hint=hint)
