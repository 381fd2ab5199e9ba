"""What `-v` and `--mount` of `container run` say, in the long form of a service's volumes."""

from __future__ import annotations

import csv
import posixpath
from typing import TYPE_CHECKING, Any

from pycompose.config.syntax.mounts import parse_volume
from pycompose.engine.errors import PycomposeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycompose.client.options import ContainerRunOptions


def volumes_of(options: ContainerRunOptions) -> list[dict[str, Any]]:
    """Return the volumes that the flags describe. Raises PycomposeError."""
    found = [_volume(text) for text in options.volumes] + [parse_mount(text) for text in options.mounts]
    _check_places(found)
    return found


# Words of a mode (moby volume/mounts/linux_parser.go).
_MODES = frozenset(
    {
        "ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated", "private", "rprivate", "shared", "rshared",
        "slave", "rslave",
    }
)  # fmt: skip


def _volume(text: str) -> dict[str, Any]:
    _, _, mode = text.rpartition(":") if text.count(":") > 1 else ("", "", "")
    if unknown := [word for word in mode.split(",") if mode and word not in _MODES]:
        raise PycomposeError(f"--volume {text}: invalid mode: {unknown[0]}", hint="SOURCE:TARGET[:ro]")
    try:
        return parse_volume(text)
    except ValueError as exc:
        raise PycomposeError(f"--volume {text}: {exc}", hint="SOURCE:TARGET[:ro]") from None


def _check_places(volumes: Iterable[dict[str, Any]]) -> None:
    """Raise PycomposeError where nothing can be mounted, or two things would be."""
    taken = set()
    for volume in volumes:
        target = posixpath.normpath(str(volume["target"]))
        if target in ("/", "//"):
            raise PycomposeError("--volume or --mount: destination can't be '/'")
        if volume.get("source"):
            if target in taken:
                raise PycomposeError(f"--volume or --mount: Duplicate mount point: {target}")
            taken.add(target)


# Key of `--mount` → path in the long form of a volume (docker/cli opts/mount.go).
_MOUNT_KEYS = {
    "type": ("type",),
    "source": ("source",),
    "src": ("source",),
    "target": ("target",),
    "destination": ("target",),
    "dst": ("target",),
    "readonly": ("read_only",),
    "ro": ("read_only",),
    "consistency": ("consistency",),
    "bind-propagation": ("bind", "propagation"),
    "bind-recursive": ("bind", "recursive"),
    "bind-create-src": ("bind", "create_host_path"),
    "volume-nocopy": ("volume", "nocopy"),
    "volume-subpath": ("volume", "subpath"),
    "image-subpath": ("image", "subpath"),
    "tmpfs-size": ("tmpfs", "size"),
    "tmpfs-mode": ("tmpfs", "mode"),
}
_MOUNT_SWITCHES = frozenset({"readonly", "ro", "volume-nocopy", "bind-create-src"})
_TRUE = frozenset({"", "1", "true"})


def parse_mount(text: str) -> dict[str, Any]:
    """Return the long form of `type=bind,source=/a,target=/b,readonly`. Raises PycomposeError."""
    mount: dict[str, Any] = {"type": "volume"}
    for part in next(csv.reader([text])):
        key, equals, value = part.partition("=")
        path = _MOUNT_KEYS.get(key.lower())
        if path is None:
            raise PycomposeError(
                f"--mount {text}: unknown key {key!r}", hint=f"known: {', '.join(sorted(_MOUNT_KEYS))}"
            )
        if not equals and key.lower() not in _MOUNT_SWITCHES:
            raise PycomposeError(f"--mount {text}: {key} needs a value")
        node = mount
        for outer in path[:-1]:
            node = node.setdefault(outer, {})
        node[path[-1]] = _mount_value(text, key.lower(), value)
    if not mount.get("target"):
        raise PycomposeError(f"--mount {text}: no target", hint="add target=/PATH")
    if mount["type"] not in ("bind", "volume", "tmpfs", "image"):
        raise PycomposeError(
            f"--mount {text}: unknown type {mount['type']!r}", hint="known: bind, volume, tmpfs, image"
        )
    if mount["type"] == "bind":
        if not mount.get("source"):
            raise PycomposeError(f"--mount {text}: a bind needs a source", hint="add source=/PATH")
        # What -v makes, --mount wants to be there.
        mount.setdefault("bind", {}).setdefault("create_host_path", False)
    return mount


def _mount_value(text: str, key: str, value: str) -> Any:
    if key in _MOUNT_SWITCHES:
        return value.lower() in _TRUE
    if key != "tmpfs-mode":
        return value
    try:
        return int(value, 8)
    except ValueError:
        raise PycomposeError(f"--mount {text}: tmpfs-mode is no octal number") from None
