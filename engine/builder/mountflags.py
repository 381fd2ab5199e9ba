"""`RUN --mount=…`: one flag → what to mount (Dockerfile reference, "RUN --mount"). Values are expanded before."""

from __future__ import annotations

import csv
import io
import posixpath
import re

from pycompose.engine.builder.instructions import suggestion
from pycompose.engine.dataclass import dataclass

BIND, CACHE, TMPFS, SECRET, SSH = "bind", "cache", "tmpfs", "secret", "ssh"
KINDS = (BIND, CACHE, TMPFS, SECRET, SSH)
SHARED, PRIVATE, LOCKED = "shared", "private", "locked"

# key → kinds that take it.
_KEYS = {
    "type": KINDS,
    "from": (BIND, CACHE),
    "source": (BIND, CACHE),
    "target": KINDS,
    "readonly": (BIND, CACHE),
    "readwrite": (BIND, CACHE),
    "id": (CACHE, SECRET, SSH),
    "sharing": (CACHE,),
    "required": (SECRET, SSH),
    "size": (TMPFS,),
    "mode": (CACHE, SECRET, SSH),
    "uid": (CACHE, SECRET, SSH),
    "gid": (CACHE, SECRET, SSH),
    "env": (SECRET,),
}
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class MountFlagError(ValueError):
    """A --mount that can't be meant; `hint` says what to write."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMount:
    """One mount of a RUN step. `target` is absolute or relative to the working directory; `mode` bits, -1 by default.

    `source` is a path in `origin` (a stage, a named context or an image; "" is the build context, for caches nothing).
    """

    kind: str = BIND
    target: str = ""
    source: str = ""
    origin: str = ""
    read_only: bool = True
    id: str = ""
    sharing: str = SHARED
    required: bool = False
    size_bytes: int = 0
    mode: int = -1
    uid: int = 0
    gid: int = 0
    env: str = ""


@dataclass(frozen=True, slots=True)
class ShownTree:
    """One overlay of what a bind mount shows: `subpath` of the directories `lowers`, at `target` below the mount's."""

    target: str
    lowers: tuple[str, ...]
    subpath: str


def parse_mount(text: str) -> StepMount:
    """Return the mount that `text` describes; raises MountFlagError."""
    values = _values(text)
    kind = values.get("type", BIND)
    if kind not in KINDS:
        raise MountFlagError(
            f"unsupported mount type {kind!r}", suggestion(kind, list(KINDS)) or f"one of {', '.join(KINDS)}"
        )
    for key in values:
        if kind not in _KEYS[key]:
            raise MountFlagError(f"unexpected key {key!r} for mount type {kind!r}")
    target = values.get("target", "")
    mount = StepMount(
        kind=kind,
        target=target,
        source=values.get("source", ""),
        origin=values.get("from", ""),
        read_only=_read_only(kind, values),
        id=values.get("id", ""),
        sharing=values.get("sharing", SHARED),
        required=_switch("required", values.get("required", "false")),
        size_bytes=_bytes(values["size"]) if "size" in values else 0,
        mode=_octal(values["mode"]) if "mode" in values else -1,
        uid=_number("uid", values.get("uid", "0")),
        gid=_number("gid", values.get("gid", "0")),
        env=values.get("env", ""),
    )
    _check(mount, values)
    return mount


def secret_id(mount: StepMount) -> str:
    """Return the secret's id: given, or the last part of the target."""
    return mount.id or posixpath.basename(mount.target)


def secret_target(mount: StepMount) -> str:
    """Return where the secret appears, "" for one that is a variable only."""
    if mount.target or mount.env:
        return mount.target
    return f"/run/secrets/{mount.id.rpartition('/')[2]}"


def _values(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        (fields,) = csv.reader(io.StringIO(text), strict=True)
    except (csv.Error, ValueError) as exc:
        raise MountFlagError(f"cannot read {text!r}: it is not of the form key=value,…") from exc
    for item in fields:
        name, equals, value = item.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEYS:
            raise MountFlagError(f"unexpected key {name!r} in {item!r}", suggestion(key, [*_KEYS, *_ALIASES]))
        if not equals:
            if key not in ("readonly", "readwrite", "required"):
                raise MountFlagError(f"invalid field {item!r}: it must be key=value")
            value = "true"
        found[key] = value
    return found


def _read_only(kind: str, values: dict[str, str]) -> bool:
    if "readonly" in values:
        return _switch("readonly", values["readonly"])
    if "readwrite" in values:
        return not _switch("readwrite", values["readwrite"])
    return kind == BIND


def _check(mount: StepMount, values: dict[str, str]) -> None:
    if mount.sharing not in (SHARED, PRIVATE, LOCKED):
        raise MountFlagError(
            f"unsupported sharing value {mount.sharing!r}",
            suggestion(mount.sharing, [SHARED, PRIVATE, LOCKED]),
        )
    if mount.kind in (BIND, CACHE, TMPFS) and not mount.target:
        raise MountFlagError(f"a mount of type {mount.kind} needs a target", "write target=/path")
    if mount.kind == SECRET and not (mount.id or mount.target):
        raise MountFlagError("a secret needs an id or a target", "write id=NAME")
    if mount.target == "/":
        raise MountFlagError("a mount can't have / as its target")
    if mount.env and "=" in mount.env:
        raise MountFlagError(f"invalid name of a variable: {values['env']!r}")


def _switch(key: str, text: str) -> bool:
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise MountFlagError(f"invalid value for {key}: {text!r} is not true or false")


def _octal(text: str) -> int:
    try:
        value = int(text, 8)
    except ValueError:
        raise MountFlagError(f"invalid value {text!r} for mode: it is octal, as 0755") from None
    if not 0 <= value <= 0o7777:
        raise MountFlagError(f"invalid value {text!r} for mode")
    return value


def _number(key: str, text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 32:
        raise MountFlagError(f"invalid value {text!r} for {key}: it is a number")
    return int(text)


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise MountFlagError(f"invalid value for size: {text!r}", "for example 64m")
    return int(float(match[1]) * 1024 ** _UNITS[match[2].lower()])
