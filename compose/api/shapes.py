"""Which types the fields of a body have: what Go's decoder refuses would be found by nobody else, or half-way."""

from __future__ import annotations

from typing import Any

from pycompose.api.errors import ApiError
from pycompose.engine.dataclass import dataclass

Json = dict[str, Any]

_INT64 = 1 << 63
_NAMES = {str: "a string", int: "a whole number", bool: "true or false", list: "an array", dict: "an object"}
_RESTARTS = ("", "no", "always", "on-failure", "unless-stopped")
_RESTART_WORDS = "'no', 'always', 'on-failure', or 'unless-stopped'"


@dataclass(frozen=True, slots=True)
class Each:
    """An array of things of one shape, or (`keyed`) an object with such values."""

    shape: Any
    keyed: bool = False


_TEXTS, _TEXT_MAP = Each(str), Each(str, keyed=True)
_ENDPOINT: Json = {
    **dict.fromkeys(("Aliases", "Links"), _TEXTS),
    "MacAddress": str,
    "IPAMConfig": {"IPv4Address": str, "IPv6Address": str, "LinkLocalIPs": _TEXTS},
}
_DEVICE_RATE = Each({"Path": str, "Rate": int, "Weight": int})
# A shape is a type, Each, a table of fields, or several shapes to choose from.
AUTH: Json = dict.fromkeys(("username", "password", "serveraddress", "identitytoken", "auth"), str)
UPDATE: Json = {
    **dict.fromkeys(
        (
            "Memory", "MemorySwap", "MemoryReservation", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod",
            "CpuRealtimeRuntime", "PidsLimit", "NanoCpus", "BlkioWeight",
        ),
        int,
    ),
    "CpusetCpus": str,
    "CpusetMems": str,
    "RestartPolicy": {"Name": str, "MaximumRetryCount": int},
}  # fmt: skip
_HOST: Json = {
    **UPDATE,
    **dict.fromkeys(("ShmSize", "OomScoreAdj", "MemorySwappiness"), int),
    **dict.fromkeys(
        (
            "NetworkMode", "IpcMode", "PidMode", "UTSMode", "UsernsMode", "CgroupnsMode", "CgroupParent", "Runtime",
            "Isolation", "VolumeDriver",
        ),
        str,
    ),
    **dict.fromkeys(
        (
            "Binds", "CapAdd", "CapDrop", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "SecurityOpt",
            "DeviceCgroupRules", "VolumesFrom", "Links", "MaskedPaths", "ReadonlyPaths",
        ),
        _TEXTS,
    ),
    **dict.fromkeys(
        ("Privileged", "ReadonlyRootfs", "OomKillDisable", "PublishAllPorts", "AutoRemove", "Init"), bool
    ),
    **dict.fromkeys(("Sysctls", "Annotations", "Tmpfs", "StorageOpt"), _TEXT_MAP),
    **dict.fromkeys(
        (
            "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
            "BlkioDeviceWriteIOps",
        ),
        _DEVICE_RATE,
    ),
    "ConsoleSize": Each(int),
    "LogConfig": {"Type": str, "Config": _TEXT_MAP},
    "PortBindings": Each(Each({"HostIp": str, "HostPort": str}), keyed=True),
    "Mounts": Each({"Type": str, "Source": str, "Target": str, "ReadOnly": bool}),
    "Ulimits": Each({"Name": str, "Soft": int, "Hard": int}),
    "Devices": Each({"PathOnHost": str, "PathInContainer": str, "CgroupPermissions": str}),
    "DeviceRequests": Each({"Driver": str, "Count": int, "DeviceIDs": _TEXTS, "Capabilities": Each(_TEXTS)}),
}  # fmt: skip
CREATE: Json = {
    **dict.fromkeys(
        ("Image", "Hostname", "Domainname", "User", "WorkingDir", "StopSignal", "MacAddress"), str
    ),
    **dict.fromkeys(("Tty", "OpenStdin", "NetworkDisabled"), bool),
    **dict.fromkeys(("Cmd", "Entrypoint"), (str, _TEXTS)),
    **dict.fromkeys(("ExposedPorts", "Volumes"), dict),
    "Env": _TEXTS,
    "Labels": _TEXT_MAP,
    "StopTimeout": int,
    "Healthcheck": {
        "Test": _TEXTS,
        **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"), int),
    },
    "HostConfig": _HOST,
    "NetworkingConfig": {"EndpointsConfig": Each(_ENDPOINT, keyed=True)},
}
EXEC_CREATE: Json = {
    **dict.fromkeys(("User", "WorkingDir", "DetachKeys"), str),
    **dict.fromkeys(("Privileged", "Tty", "AttachStdin", "AttachStdout", "AttachStderr"), bool),
    **dict.fromkeys(("Cmd", "Env"), _TEXTS),
    "ConsoleSize": Each(int),
}
EXEC_START: Json = {**dict.fromkeys(("Detach", "Tty"), bool), "ConsoleSize": Each(int)}
NETWORK: Json = {
    **dict.fromkeys(("Name", "Driver", "Scope"), str),
    **dict.fromkeys(("Internal", "EnableIPv6", "Attachable", "Ingress", "ConfigOnly"), bool),
    **dict.fromkeys(("Options", "Labels"), _TEXT_MAP),
    "ConfigFrom": {"Network": str},
    "IPAM": {
        "Driver": str,
        "Options": _TEXT_MAP,
        "Config": Each({"Subnet": str, "IPRange": str, "Gateway": str, "AuxiliaryAddresses": _TEXT_MAP}),
    },
}
CONNECT: Json = {"Container": str, "EndpointConfig": _ENDPOINT}
DISCONNECT: Json = {"Container": str, "Force": bool}
VOLUME: Json = {
    **dict.fromkeys(("Name", "Driver"), str),
    **dict.fromkeys(("DriverOpts", "Labels"), _TEXT_MAP),
}


def checked(body: Json, shape: Json) -> Json:
    """Return the body if its fields have the types of `shape`; null is always one. Raises ApiError."""
    _check(body, shape, "")
    return body


def _check(value: Any, shape: Any, place: str) -> None:
    if value is None:
        return
    if isinstance(shape, tuple):
        shape = next((one for one in shape if _kind(one) is value.__class__), shape[-1])
    kind = _kind(shape)
    fits = value.__class__ is kind and (kind is not int or -_INT64 <= value < _INT64)
    if not fits:
        shown = repr(value)[:60]
        raise ApiError(400, f"invalid JSON: {place}: {shown} is not {_NAMES[kind]}")
    if isinstance(shape, dict):
        for key in shape.keys() & value.keys():
            _check(value[key], shape[key], f"{place}.{key}" if place else key)
    elif isinstance(shape, Each):
        for key, inner in value.items() if shape.keyed else enumerate(value):
            _check(inner, shape.shape, f"{place}[{key}]")


def _kind(shape: Any) -> Any:
    if isinstance(shape, Each):
        return dict if shape.keyed else list
    return dict if isinstance(shape, dict) else shape


def restart_policy(policy: Json) -> Json | None:
    """Return the fields of model.Restart that Docker's are, None for none (moby container.ValidateRestartPolicy).

    Raises ApiError.
    """
    kind, most = policy.get("Name") or "", policy.get("MaximumRetryCount") or 0
    if kind not in _RESTARTS:
        raise ApiError(400, f"invalid restart policy: unknown policy '{kind}'; use one of {_RESTART_WORDS}")
    if most and kind != "on-failure":
        raise ApiError(400, "invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if most < 0:
        raise ApiError(400, "invalid restart policy: maximum retry count cannot be negative")
    return {"kind": kind, "max_attempts": most or None} if kind else None
