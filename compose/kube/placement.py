"""On which nodes pods run, and how they are replaced: `deploy` and `platform`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycompose.kube.scope import KubeScope, Object, place
from pycompose.kube.values import seconds
from pycompose.units import parse_duration

if TYPE_CHECKING:
    from pycompose.model import Service

_CONSTRAINT = re.compile(r"\s*([\w.\-/]+)\s*==\s*(.+?)\s*$")
_NODE_LABELS = {
    "node.hostname": "kubernetes.io/hostname",
    "node.platform.os": "kubernetes.io/os",
    "node.platform.arch": "kubernetes.io/arch",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def node_selector(scope: KubeScope, service: Service) -> dict[str, str]:
    """Return the labels that a node has to have: of `platform` and of `placement.constraints` that ask for equality."""
    found: dict[str, str] = {}
    if service.platform:
        system, _, rest = service.platform.partition("/")
        found["kubernetes.io/os"] = system
        if architecture := rest.partition("/")[0]:
            found["kubernetes.io/arch"] = _ARCHITECTURES.get(architecture, architecture)
    placement = (scope.node(service).get("deploy") or {}).get("placement") or {}
    for index, text in enumerate(placement.get("constraints") or ()):
        match = _CONSTRAINT.match(text)
        key = match[1] if match else ""
        if match and key in _NODE_LABELS:
            found[_NODE_LABELS[key]] = _ARCHITECTURES.get(match[2], match[2])
        elif match and key.startswith("node.labels."):
            found[key.removeprefix("node.labels.")] = match[2]
        else:
            scope.remarks.warning(
                place(service, "deploy", "placement", "constraints", index),
                f"{text} is left out: only node.labels, node.hostname and node.platform with == are known there",
            )
    return found


def strategy(scope: KubeScope, service: Service, kind: str, *, claims: bool) -> Object:
    """Return how a workload replaces its pods, as fields of its `spec`; {} leaves it to the cluster.

    A volume that one node holds can't be on two: the old pod goes first.
    """
    update = (scope.node(service).get("deploy") or {}).get("update_config") or {}
    found: Object = {}
    if update.get("delay"):
        found["minReadySeconds"] = seconds(parse_duration(str(update["delay"])), 0)
    if kind != "Deployment":
        if update.get("order") or update.get("parallelism") is not None:
            path = place(service, "deploy", "update_config")
            scope.remarks.note(path, f"a {kind} replaces one pod after the other, the old one first")
        return found
    held = claims and any(
        scope.settings.volumes[volume.source].access_mode.startswith("ReadWriteOnce")
        for volume in service.volumes
        if volume.kind == "volume" and volume.source
    )
    if held:
        found["strategy"] = {"type": "Recreate"}
        if update.get("order") == "start-first":
            path = place(service, "deploy", "update_config", "order")
            scope.remarks.note(path, "the old pod goes first: its volume can't be on two nodes")
    elif update.get("parallelism") is not None or update.get("order"):
        count = int(update.get("parallelism", 1)) or "100%"
        first = update.get("order") == "start-first"
        rolling = (
            {"maxSurge": count, "maxUnavailable": 0} if first else {"maxSurge": 0, "maxUnavailable": count}
        )
        found["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return found
