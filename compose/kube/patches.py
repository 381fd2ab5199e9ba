"""`x-kube.patches`: parts of objects that are merged into what is generated, as kustomize's strategic merge does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycompose.engine.dataclass import replace
from pycompose.kube.scope import Object, place
from pycompose.kube.settings import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycompose.config.tree import Path
    from pycompose.kube.parts import Part
    from pycompose.kube.scope import KubeScope

# What tells the items of a list apart, by the list: the patchMergeKey of Kubernetes' API types.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
}
_SERVICE_PORTS = "port"
_CONTAINER_PORTS = "containerPort"


def apply_patches(scope: KubeScope, parts: Sequence[Part]) -> list[Part]:
    """Return the parts with all patches merged in; one that meets no object is an error."""
    found = list(parts)
    path: Path
    for index, patch in enumerate(scope.settings.project.patches):
        path = (KEY, "patches", index)
        found = _apply(scope, found, patch, path, [part.name for part in found])
    for name, settings in scope.settings.services.items():
        if name not in scope.project.services:
            continue
        own = [part.name for part in found if part.service == name]
        for index, patch in enumerate(settings.patches):
            path = place(scope.project.services[name], KEY, "patches", index)
            found = _apply(scope, found, patch, path, own)
    return found


def _apply(
    scope: KubeScope, parts: list[Part], patch: Object, path: tuple[str | int, ...], among: list[str]
) -> list[Part]:
    name = (patch.get("metadata") or {}).get("name")
    met = False
    result: list[Part] = []
    for part in parts:
        objects: list[Object] = []
        for item in part.objects:
            fits = (
                part.name in among
                and item["kind"] == patch["kind"]
                and name in (None, item["metadata"]["name"])
            )
            met = met or fits
            objects.append(merge(item, patch) if fits else item)
        result.append(replace(part, objects=tuple(objects)))
    if not met:
        scope.remarks.error(
            path, f"meets no object: there is no {patch['kind']}{f' {name}' if name else ''} here"
        )
    return result


def merge(value: Any, patch: Any, key: str = "") -> Any:
    """Return `value` with `patch` in it: mappings are merged, null removes, lists by what tells their items apart.

    Other lists are replaced.
    """
    if isinstance(value, dict) and isinstance(patch, dict):
        found = {name: item for name, item in value.items() if patch.get(name, item) is not None}
        for name, item in patch.items():
            if item is not None:
                found[name] = merge(value.get(name), item, name)
        return found
    if isinstance(value, list) and isinstance(patch, list):
        same = _merge_key(key, patch)
        if same:
            return _merge_items(value, patch, same)
    return patch


def _merge_key(key: str, patch: list[Any]) -> str:
    if key == "ports":
        return _CONTAINER_PORTS if any(_CONTAINER_PORTS in item for item in patch) else _SERVICE_PORTS
    return _MERGE_KEYS.get(key, "")


def _merge_items(value: list[Any], patch: list[Any], same: str) -> list[Any]:
    found = list(value)
    for item in patch:
        index = next((i for i, old in enumerate(found) if old.get(same) == item.get(same)), None)
        if index is None:
            found.append(item)
        elif item.get("$patch") == "delete":
            del found[index]
        else:
            found[index] = merge(found[index], item)
    return found
