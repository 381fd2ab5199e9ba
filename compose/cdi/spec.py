"""A CDI specification (cncf-tags/container-device-interface): names, edits, and what is wrong with a file. Pure."""

from __future__ import annotations

import re
from typing import Any

from pycompose.engine.config import OciHook
from pycompose.engine.dataclass import dataclass
from pycompose.engine.errors import EngineError

VERSIONS = frozenset({"0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"})
_VENDOR = r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_CLASS = r"[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_KIND = re.compile(f"{_VENDOR}/{_CLASS}")
_DEVICE = re.compile(_NAME)
_QUALIFIED = re.compile(f"({_VENDOR}/{_CLASS})=({_NAME})")
# When the container's files are mounted and it isn't started yet: the one moment at which hooks are run here.
_MOMENT = "createContainer"
_NODE_TYPES = ("", "b", "c", "u")


@dataclass(frozen=True, slots=True, kw_only=True)
class CdiNode:
    """A device node at `path`: that of the host at `host_path`, or, with a `type`, one with these numbers.

    `mode`, `uid` and `gid` are None where the specification has none.
    """

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    permissions: str = "rwm"
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A file or directory of the host, with mount(8)'s options."""

    source: str
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What changes in a container."""

    env: tuple[str, ...] = ()
    nodes: tuple[CdiNode, ...] = ()
    mounts: tuple[BindMount, ...] = ()
    hooks: tuple[OciHook, ...] = ()
    gids: tuple[int, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            env=self.env + other.env,
            nodes=self.nodes + other.nodes,
            mounts=self.mounts + other.mounts,
            hooks=self.hooks + other.hooks,
            gids=self.gids + other.gids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One file: edits for all devices of the kind `vendor/class`, and those of each device by name."""

    kind: str
    edits: Edits
    devices: dict[str, Edits]


def split_name(text: str) -> tuple[str, str] | None:
    """Return kind and device name of `vendor/class=name`, None for anything else."""
    match = _QUALIFIED.fullmatch(text)
    return (match[1], match[2]) if match else None


def parse_spec(tree: Any, file: str) -> Spec:
    """Return the specification in the decoded `tree` of `file`; raises EngineError naming file, place and reason."""
    reader = _Reader(file)
    top = reader.mapping(tree, "", ("cdiVersion", "kind", "devices", "containerEdits", "annotations"))
    version, kind = str(top.get("cdiVersion")), str(top.get("kind"))
    if version not in VERSIONS:
        raise reader.error("cdiVersion", f"{version} is not known: {', '.join(sorted(VERSIONS))}")
    if not _KIND.fullmatch(kind):
        raise reader.error("kind", f"{kind} is not VENDOR/CLASS")
    devices: dict[str, Edits] = {}
    for index, entry in enumerate(reader.sequence(top.get("devices"), "devices")):
        place = f"devices[{index}]"
        device = reader.mapping(entry, place, ("name", "containerEdits", "annotations"))
        name = str(device.get("name"))
        if not _DEVICE.fullmatch(name):
            raise reader.error(place, f"{name} is not a device's name")
        if name in devices:
            raise reader.error(place, f"{name} is there twice")
        devices[name] = reader.edits(device.get("containerEdits"), f"{place}.containerEdits")
    return Spec(kind=kind, edits=reader.edits(top.get("containerEdits"), "containerEdits"), devices=devices)


class _Reader:
    """Takes a decoded file apart; every key is known, or the file is refused: an edit must not get lost."""

    def __init__(self, file: str) -> None:
        self._file = file

    def error(self, place: str, reason: str) -> EngineError:
        return EngineError(f"CDI specification {self._file}: {place or 'file'}: {reason}")

    def mapping(self, value: Any, place: str, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(place, "must be a mapping")
        if unknown := [str(key) for key in value if key not in known]:
            raise self.error(place, f"unknown key {unknown[0]}")
        return value

    def sequence(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list | None):
            raise self.error(place, "must be a list")
        return value or []

    def text(self, value: Any, place: str, *, absolute: bool = False, empty: bool = False) -> str:
        if not isinstance(value, str) or not (value or empty) or "\0" in value:
            raise self.error(place, "must be text")
        if absolute and not value.startswith("/"):
            raise self.error(place, f"{value} is not an absolute path")
        return value

    def number(self, value: Any, place: str) -> int:
        if type(value) is not int or value < 0:
            raise self.error(place, "must be a number of 0 or more")
        return value

    def optional_number(self, value: Any, place: str) -> int | None:
        return None if value is None else self.number(value, place)

    def texts(self, value: Any, place: str, *, empty: bool = False) -> tuple[str, ...]:
        items = enumerate(self.sequence(value, place))
        return tuple(self.text(item, f"{place}[{index}]", empty=empty) for index, item in items)

    def variables(self, value: Any, place: str) -> tuple[str, ...]:
        entries = self.texts(value, place)
        if wrong := [entry for entry in entries if entry.find("=") < 1]:
            raise self.error(place, f"{wrong[0]} is not NAME=VALUE")
        return entries

    def edits(self, value: Any, place: str) -> Edits:
        if value is None:
            return Edits()
        known = ("env", "deviceNodes", "mounts", "hooks", "additionalGids")
        if isinstance(value, dict) and (beyond := {"intelRdt", "netDevices"} & value.keys()):
            raise self.error(place, f"{min(beyond)} can't be had here")
        edits = self.mapping(value, place, known)
        gids = self.sequence(edits.get("additionalGids"), f"{place}.additionalGids")
        return Edits(
            env=self.variables(edits.get("env"), f"{place}.env"),
            nodes=tuple(self._each(edits, "deviceNodes", place, self._node)),
            mounts=tuple(self._each(edits, "mounts", place, self._mount)),
            hooks=tuple(self._each(edits, "hooks", place, self._hook)),
            gids=tuple(self.number(gid, f"{place}.additionalGids") for gid in gids),
        )

    def _each(self, edits: dict[str, Any], key: str, place: str, read: Any) -> list[Any]:
        items = self.sequence(edits.get(key), f"{place}.{key}")
        return [read(item, f"{place}.{key}[{index}]") for index, item in enumerate(items)]

    def _node(self, value: Any, place: str) -> CdiNode:
        known = ("path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid")
        node = self.mapping(value, place, known)
        kind = str(node.get("type") or "")
        if kind not in _NODE_TYPES:
            raise self.error(place, f"a node of type {kind} can't be had here")
        permissions = str(node.get("permissions") or "rwm")
        if set(permissions) - set("rwm"):
            raise self.error(place, f"permissions {permissions} are not out of rwm")
        path = self.text(node.get("path"), f"{place}.path", absolute=True)
        numbered = kind and "major" in node and "minor" in node
        return CdiNode(
            path=path,
            host_path=""
            if numbered
            else self.text(node.get("hostPath") or path, f"{place}.hostPath", absolute=True),
            type=kind.replace("u", "c") if numbered else "",
            major=self.number(node.get("major") or 0, f"{place}.major"),
            minor=self.number(node.get("minor") or 0, f"{place}.minor"),
            permissions=permissions,
            mode=self.optional_number(node.get("fileMode"), f"{place}.fileMode"),
            uid=self.optional_number(node.get("uid"), f"{place}.uid"),
            gid=self.optional_number(node.get("gid"), f"{place}.gid"),
        )

    def _mount(self, value: Any, place: str) -> BindMount:
        mount = self.mapping(value, place, ("hostPath", "containerPath", "options", "type"))
        kind = mount.get("type") or "bind"
        if kind not in ("bind", "none"):
            raise self.error(place, f"a mount of type {kind} can't be had here")
        return BindMount(
            source=self.text(mount.get("hostPath"), f"{place}.hostPath", absolute=True),
            target=self.text(mount.get("containerPath"), f"{place}.containerPath", absolute=True),
            options=self.texts(mount.get("options"), f"{place}.options"),
        )

    def _hook(self, value: Any, place: str) -> OciHook:
        hook = self.mapping(value, place, ("hookName", "path", "args", "env", "timeout"))
        path = self.text(hook.get("path"), f"{place}.path", absolute=True)
        if hook.get("hookName") != _MOMENT:
            raise self.error(
                place, f"the hook {hook.get('hookName')} ({path}) can't be run here, only {_MOMENT}"
            )
        return OciHook(
            path=path,
            args=self.texts(hook.get("args"), f"{place}.args", empty=True),
            env=self.variables(hook.get("env"), f"{place}.env"),
            timeout_s=self.optional_number(hook.get("timeout"), f"{place}.timeout"),
        )
