"""Mounts and volumes that can't be: what `runnable.py` says of services' `volumes:` and `tmpfs:`, and the project's.

The rules of named volumes are the volumes' own (volumes/): here they get their places in the file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from pycompose.config.consistency import Finding
from pycompose.config.tree import Map
from pycompose.engine.errors import VolumeError

PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_COMMON_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def mounts(service: Map, _services: Map) -> Iterator[Finding]:
    """Find what Docker refuses of a mount when it makes the container (moby volume/mounts)."""
    for index, volume in enumerate(service.get("volumes") or ()):
        for key, reason, hint in (*_target(volume), *_options(volume)):
            yield ("volumes", index, *key), reason, hint
    for index, text in enumerate(service.get("tmpfs") or ()):
        if not text.startswith("/"):
            yield ("tmpfs", index), f'mount path "{text.partition(":")[0]}" is not absolute', None


def _target(volume: Map) -> Iterator[Finding]:
    target = volume.get("target") or ""
    if not target.startswith("/"):
        # "x:/data" was read as a path of Windows, on the drive x.
        drive = re.match("[A-Za-z]:", target)
        hint = "a volume's name has at least two letters: a single one is taken for a Windows drive"
        yield ("target",), f'mount path "{target}" is not absolute', hint if drive else None
    elif posixpath.normpath(target) in ("/", "//"):
        yield ("target",), 'destination can\'t be "/"', "it is the image's place"


def _options(volume: Map) -> Iterator[Finding]:
    propagation = (volume.get("bind") or {}).get("propagation") or ""
    if propagation not in ("", *PROPAGATIONS):
        yield (
            ("bind", "propagation"),
            f"invalid propagation mode: {propagation}",
            f"one of {', '.join(PROPAGATIONS)}",
        )
    if volume.get("type") == "tmpfs" and volume.get("source"):
        yield ("source",), "a tmpfs has no source", "a volume has a name: type: volume"
    subpath = (volume.get("volume") or {}).get("subpath") or ""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        yield ("volume", "subpath"), f"subpath {subpath} must be a relative path within the volume", None


def wrong_volumes(root: Map) -> Iterator[Finding]:
    """Yield what no named volume can be made of."""
    for key, node in (root.get("volumes") or {}).items():
        volume = node or Map()
        name = volume.get("name") or ""
        if not _COMMON_NAME.fullmatch(name) and (error := _misnamed(name)):
            yield ("volumes", key, *(["name"] if name else [])), f"{name!r} is not a valid name", error.hint
        if volume.get("external"):
            continue
        if (driver := volume.get("driver") or "local") != "local":
            yield (
                ("volumes", key, "driver"),
                f"unknown driver {driver!r}",
                'only the driver "local" exists here',
            )
        elif volume.get("driver_opts") and (error := _wrong_options(dict(volume["driver_opts"]))):
            yield ("volumes", key, "driver_opts"), error.message.removeprefix("volume : create: "), error.hint


def _misnamed(name: str) -> VolumeError | None:
    from pycompose.volumes.store import check_name  # noqa: PLC0415 - names are mostly common ones

    try:
        check_name(name)
    except VolumeError as exc:
        return exc
    return None


def _wrong_options(options: dict[str, str]) -> VolumeError | None:
    from pycompose.volumes.options import check_options  # noqa: PLC0415 - few volumes have any

    try:
        check_options("", options)
    except VolumeError as exc:
        return exc
    return None
