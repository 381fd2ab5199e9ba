"""`x-kube`: what a cluster has to be told and the compose file format has no word for (docs/kubernetes.md)."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycompose.config.tree import Path
    from pycompose.kube.remarks import Remarks

KEY = "x-kube"
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
ACCESS_MODES = ("ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany", "ReadWriteOncePod")
# What waits in an init container until another service is healthy: it needs `sh` and `nc`.
WAIT_IMAGE = "busybox:1.36"
INGRESS = "ingress"

_PATCHES = {
    "description": "parts of objects (kind, and name where there are several) that are merged into what is generated",
    "type": "array",
    "items": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}},
}
_HOST = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
# What is said of a text that its pattern doesn't take.
_FORMS = {
    "expose": "LoadBalancer, NodePort or ingress HOST[/PATH], HOST in lower case",
    "size": "a quantity, as 20Gi or 500M",
    "storageClass": "a name, in lower case",
}
# The schema of each place, for editors (config --schema) and for the checks below.
SCHEMAS: dict[str, dict[str, Any]] = {
    "project": {
        "waitImage": {
            "description": "the image with sh and nc that waits for healthy services",
            "type": "string",
        },
        "patches": _PATCHES,
    },
    "service": {
        "expose": {
            "description": "how its published ports are reached from outside: LoadBalancer, NodePort or ingress HOST",
            "type": "string",
            "pattern": rf"^(LoadBalancer|NodePort|ingress (\*\.)?{_HOST}(/[^ ]*)?)$",
        },
        "kind": {"description": "the kind of its workload", "enum": list(KINDS)},
        "liveness": {"description": "restart it when its health check fails", "type": "boolean"},
        "patches": _PATCHES,
    },
    "volume": {
        "size": {
            "description": "what is asked for, 1Gi unless said",
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?$",
        },
        "storageClass": {
            "description": "the class of its storage",
            "type": "string",
            "pattern": f"^{_HOST}$",
        },
        "accessMode": {"description": "who may mount it at once", "enum": list(ACCESS_MODES)},
    },
}


def schemas() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the JSON schema of the key by the structure of the compose file that it is in."""
    return {
        place: {
            KEY: {
                "description": "what `pycompose kube` does with it",
                "type": "object",
                "additionalProperties": False,
                "properties": properties,
            }
        }
        for place, properties in SCHEMAS.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """The top level's."""

    wait_image: str = WAIT_IMAGE
    patches: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """A service's; `expose` is "", LoadBalancer, NodePort, or `ingress HOST`."""

    expose: str = ""
    kind: str = ""
    liveness: bool = False
    patches: tuple[dict[str, Any], ...] = ()

    @property
    def ingress_host(self) -> str:
        """The host name of `ingress HOST`, or ""."""
        word, _, host = self.expose.partition(" ")
        return host if word == INGRESS else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """A volume's."""

    size: str = "1Gi"
    storage_class: str = ""
    access_mode: str = "ReadWriteOnce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of a project's."""

    project: ProjectSettings = field(default_factory=ProjectSettings)
    services: dict[str, ServiceSettings] = field(default_factory=dict)
    volumes: dict[str, VolumeSettings] = field(default_factory=dict)


def read_settings(remarks: Remarks, overrides: Mapping[tuple[str, str], str]) -> Settings:
    """Read every `x-kube` of the tree; `overrides` are `--set SERVICE.KEY=VALUE` by (service, key)."""
    tree = remarks.tree
    given = _checked(tree.get(KEY), "project", (KEY,), remarks)
    services: dict[str, ServiceSettings] = {}
    for name, node in (tree.get("services") or {}).items():
        more = {key: value for (service, key), value in overrides.items() if service == name}
        values = _checked({**(node.get(KEY) or {}), **more}, "service", ("services", name, KEY), remarks)
        services[name] = ServiceSettings(
            expose=values.get("expose", ""),
            kind=values.get("kind", ""),
            liveness=values.get("liveness", False),
            patches=tuple(values.get("patches", ())),
        )
    volumes: dict[str, VolumeSettings] = {}
    for name, node in (tree.get("volumes") or {}).items():
        values = _checked((node or {}).get(KEY), "volume", ("volumes", name, KEY), remarks)
        volumes[name] = VolumeSettings(
            size=values.get("size", "1Gi"),
            storage_class=values.get("storageClass", ""),
            access_mode=values.get("accessMode", "ReadWriteOnce"),
        )
    return Settings(
        project=ProjectSettings(
            wait_image=given.get("waitImage", WAIT_IMAGE), patches=tuple(given.get("patches", ()))
        ),
        services=services,
        volumes=volumes,
    )


def _checked(node: Any, place: str, path: Path, remarks: Remarks) -> dict[str, Any]:
    """Return what of an `x-kube` is as SCHEMAS says; the rest is an error at its place."""
    if node is None:
        return {}
    if not isinstance(node, dict):
        remarks.error(path, "must be a mapping")
        return {}
    known = SCHEMAS[place]
    good: dict[str, Any] = {}
    for key, value in node.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            remarks.error((*path, key), f"isn't known here{f': did you mean {near[0]}?' if near else ''}")
        elif problem := _problem(key, value, known[key]):
            remarks.error((*path, key), problem)
        else:
            good[key] = _plain(value)
    return good


def _plain(value: Any) -> Any:
    """Return a part of the tree without its places."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _problem(key: str, value: Any, schema: Mapping[str, Any]) -> str:
    """Return why a value isn't what the schema of one key says, or ""."""
    if "enum" in schema:
        return "" if value in schema["enum"] else f"must be one of {', '.join(schema['enum'])}"
    if schema["type"] == "boolean":
        return "" if isinstance(value, bool) else "must be true or false"
    if schema["type"] == "array":
        good = isinstance(value, list) and all(isinstance(one, dict) and "kind" in one for one in value)
        return "" if good else "must be a list of parts of objects, each with its kind"
    if not isinstance(value, str) or not value:
        return f"must be a text: {_FORMS[key]}" if key in _FORMS else "must be a text"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"must be {_FORMS[key]}"
    return ""
