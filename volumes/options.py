"""The `driver_opts` of a volume of the local driver: `type`, `o` and `device`, as mount(8) takes them. Pure.

What is allowed is Docker's (moby volume/local/local_unix.go): all three words need the others, but for `o`, which may
be left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import VolumeError
from pycompose.engine.linux import mounts

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN = ("type", "o", "device", "size")
NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
# Filesystems whose kernel side knows no names: `addr=` is looked up here, as Docker does.
REMOTE = ("nfs", "nfs4", "cifs", "smb3")

_PROPAGATIONS = {
    "private": mounts.MS_PRIVATE,
    "slave": mounts.MS_SLAVE,
    "shared": mounts.MS_SHARED,
}
_SECRET = re.compile(r"(password|pass)=[^,]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """What is to be mounted: a new filesystem of `fstype`, or with `bind` the directory `device` of the machine.

    `data` are the filesystem's own options, `attributes` MOUNT_ATTR_* flags, `propagation` one of MS_* or 0.
    With `recursive`, what is mounted below a bind's directory comes with it.
    """

    fstype: str
    device: str
    bind: bool = False
    recursive: bool = False
    attributes: int = 0
    propagation: int = 0
    data: tuple[mounts.Option, ...] = ()


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raise VolumeError unless the local driver can make a volume `name` with `options`, in Docker's words."""
    for option in options:
        if option not in KNOWN:
            raise VolumeError(
                f'volume {name}: create: invalid option: "{option}"',
                hint="driver_opts of the local driver are type, o and device",
            )
    for option, others in NEEDS.items():
        for other in others:
            if option in options and other not in options:
                raise VolumeError(f'volume {name}: create: missing required option: "{other}"')
    _check_device(name, options)
    if "size" in options:
        raise VolumeError(
            f"volume {name}: create: quota size requested but no quota support",
            hint="a tmpfs has a size: type: tmpfs, device: tmpfs, o: size=100m",
        )


def _check_device(name: str, options: Mapping[str, str]) -> None:
    """Raise VolumeError for an empty device, as `${DATA_DIR}` without a value is; Docker does when it mounts."""
    if not options.get("device") and (options.get("type") or options.get("o")):
        raise VolumeError(
            f"volume {name}: missing device in volume options",
            hint="driver_opts.device is empty: has a variable no value?",
        )


def mount_request(options: Mapping[str, str]) -> MountRequest | None:
    """Return what the options of a volume ask to be mounted, None when they ask for nothing."""
    if not options.get("device"):
        return None
    attributes, propagation, bind, recursive = 0, 0, False, False
    data: list[mounts.Option] = []
    for word in filter(None, options.get("o", "").split(",")):
        key, equals, value = word.partition("=")
        if word in mounts.OPTION_ATTRIBUTES:
            flag, on = mounts.OPTION_ATTRIBUTES[word]
            attributes = attributes | flag if on else attributes & ~flag
        elif word in ("bind", "rbind"):
            bind, recursive = True, word == "rbind"
        elif word.removeprefix("r") in _PROPAGATIONS:
            propagation = _PROPAGATIONS[word.removeprefix("r")]
        else:
            data.append((key, value if equals else None))
    if attributes & mounts.MOUNT_ATTR_RDONLY and not bind:
        data.append(("ro", None))  # the filesystem too, or a medium that is read-only can't be mounted
    return MountRequest(
        fstype=options.get("type", ""),
        device=options["device"],
        bind=bind,
        recursive=recursive,
        attributes=attributes,
        propagation=propagation,
        data=tuple(data),
    )


def masked(text: str) -> str:
    """Return mount options as they may be shown: without passwords."""
    return _SECRET.sub(r"\1=********", text)
