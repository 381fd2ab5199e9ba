"""What a template sees of JSON: docker evaluates Go's types, whose maps and missing values differ from structs'.

Which object is a map, and what is a null, only the name of the field tells: the tables below are those of the types
behind `docker inspect` (moby, api/types).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pycompose.cli.gotemplate.errors import CallError


class NoValue:
    """What is not there: a missing key of a map."""

    def __repr__(self) -> str:
        return "<no value>"


NO_VALUE = NoValue()


class GoMap(dict[str, Any]):
    """A Go map: `zero` is what `index` gives for a missing key; `absent` is a nil map."""

    def __init__(self, content: Mapping[str, Any] | None, zero: object) -> None:
        super().__init__(content or {})
        self.zero = zero
        self.absent = content is None


class NilSlice(list[Any]):
    """A nil slice: empty, and null in JSON."""


class GoStruct(dict[str, Any]):
    """A row of a table: `methods` are called with arguments, `hidden` fields are not part of its JSON."""

    def __init__(
        self,
        content: Mapping[str, Any],
        methods: Mapping[str, Callable[[str], str]] | None = None,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(content)
        self.methods = methods or {}
        self.hidden = hidden


MAPS: dict[str, object] = {
    **dict.fromkeys(
        ("Annotations", "Attributes", "Data", "DriverOpts", "Labels", "Options", "StorageOpt", "Sysctls", "Tmpfs"),
        "",
    ),
    **dict.fromkeys(
        ("Containers", "ExposedPorts", "Networks", "PortBindings", "Ports", "Volumes"), NO_VALUE
    ),
}  # fmt: skip
LISTS = frozenset(
    {
        "Aliases", "Args", "Binds", "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps",
        "BlkioDeviceWriteIOps", "BlkioWeightDevice", "CapAdd", "CapDrop", "Cmd", "DNSNames",
        "DeviceCgroupRules", "DeviceRequests", "Devices", "Dns", "DnsOptions", "DnsSearch", "Entrypoint", "Env",
        "ExecIDs", "ExtraHosts", "GroupAdd", "Links", "Log", "MaskedPaths", "Mounts", "OnBuild",
        "ReadonlyPaths", "RepoDigests", "RepoTags", "SecurityOpt", "Shell", "Ulimits", "VolumesFrom",
    }
)  # fmt: skip
# Fields that JSON leaves out when they are nil, and a field that tells whose they are.
OMITTED = {
    "Health": "OOMKilled",
    "Healthcheck": "Env",
    **dict.fromkeys(("SizeRootFs", "SizeRw"), "HostConfig"),
    **dict.fromkeys(("Annotations", "Init", "StorageOpt", "Sysctls", "Tmpfs"), "CapAdd"),
}


class MissingFieldError(CallError):
    """A field that isn't there; `near` is what may have been meant."""

    def __init__(self, name: str, known: Mapping[str, Any]) -> None:
        super().__init__(f'map has no entry for key "{name}"')
        near = get_close_matches(name, list(known), n=1)
        self.hint = (
            f"did you mean .{near[0]}?" if near else f"fields are: {' '.join(sorted(known)) or 'none'}"
        )


def field(value: Any, name: str) -> Any:
    """Return a field of an object. Raises MissingFieldError for an object without it, CallError for anything else."""
    if isinstance(value, GoMap):
        return value.get(name, NO_VALUE)
    if not isinstance(value, Mapping):
        raise CallError(f"can't evaluate field {name} in type {type_name(value)}")
    # JSON writes some names in lower case; Go's is that of the struct.
    for key in (name, name[:1].lower() + name[1:], *(("Id", "id") if name == "ID" else ())):
        if key in value:
            return shaped(value, key)
    if OMITTED.get(name, "") in value:
        return shaped({name: None}, name)
    raise MissingFieldError(name, value)


def shaped(owner: Mapping[str, Any], name: str) -> Any:
    """Return a field as what it is in Go: a map, or a nil slice, where its name says so."""
    value = owner[name]
    is_map = name in MAPS or (name == "Config" and "Type" in owner)  # the options of a log driver
    if is_map and (value is None or isinstance(value, Mapping)):
        return GoMap(value, MAPS.get(name, ""))
    return NilSlice() if value is None and name in LISTS else value


def truth(value: Any) -> bool:
    """Tell whether a value counts as true: not zero, empty, nil or missing."""
    return False if value is NO_VALUE else bool(value)


def type_name(value: Any) -> str:
    """Return what Go would call the type."""
    if value is None or value is NO_VALUE:
        return "<nil>"
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return name
    if isinstance(value, (list, tuple)):
        strings = bool(value) and all(isinstance(item, str) for item in value)
        return "[]string" if strings else "[]interface {}"
    return "map[string]interface {}"
