"""What a model says without being written: names, the default network, implied dependencies, the build context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycompose.config.canonical import made
from pycompose.config.syntax.mounts import clean, split_colons
from pycompose.config.tree import Map, marks

NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def set_defaults(root: Map) -> None:
    """Fill in the context of builds, before paths are resolved, and the targets of secrets."""
    for service in (root.get("services") or {}).values():
        if not isinstance(service, dict):
            continue
        build = service.get("build")
        if isinstance(build, dict) and "context" not in build:
            build["context"] = "."
        for secret in service.get("secrets") or ():
            if "target" not in secret:
                secret["target"] = f"/run/secrets/{secret.get('source', '')}"


def resolve_bare(root: Map, environment: Mapping[str, str]) -> None:
    """Give values to bare `KEY` items of service environments, out of this file's own environment."""
    for service in (root.get("services") or {}).values():
        items = service.get("environment") if isinstance(service, dict) else None
        if isinstance(items, list):
            for index, item in enumerate(items):
                if isinstance(item, str) and item in environment:
                    items[index] = f"{item}={environment[item]}"


def normalize(root: Map, name: str, environment: Mapping[str, str] | None) -> Map:
    """Make the model explicit, in place, and return it; without `environment` bare variables stay bare."""
    networks = root.get("networks") or Map()
    uses_default = False
    for service in (root.get("services") or {}).values():
        if not isinstance(service, Map):
            continue
        uses_default |= _default_network(service)
        _service(service, environment)
    if uses_default and "default" not in networks:
        networks["default"] = None
    if networks:
        root["networks"] = networks
    for kind in ("networks", "volumes", "configs", "secrets"):
        _names(root.get(kind) or Map(), name)
    return root


def _default_network(service: Map) -> bool:
    """Attach a service to `default` when it names no network; tell whether it uses it."""
    if "provider" in service or "network_mode" in service:
        return False
    if not service.get("networks"):
        service["networks"] = Map({"default": None})
    return "default" in service["networks"]


def _service(service: Map, environment: Mapping[str, str] | None) -> None:
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    build = service.get("build")
    if isinstance(build, dict):
        if build.get("context") is None:
            build["context"] = "."
        if build.get("dockerfile") is None and build.get("dockerfile_inline") is None:
            build["dockerfile"] = "Dockerfile"
        if build.get("args") and environment is not None:
            build["args"] = _resolved(build["args"], environment, keep=False)
    if service.get("environment") and environment is not None:
        service["environment"] = _resolved(service["environment"], environment, keep=True)
    for volume in service.get("volumes") or ():
        if isinstance(volume, dict) and isinstance(volume.get("target"), str):
            volume["target"] = clean(volume["target"])
    _dependencies(service)


def _resolved(value: Any, environment: Mapping[str, str], *, keep: bool) -> Any:
    """Fill bare keys from the environment; drop those that it doesn't have unless `keep`."""
    if isinstance(value, dict):
        out = Map()
        for key, item in value.items():
            if item is None:
                if key in environment:
                    item = environment[key]  # noqa: PLW2901
                elif not keep:
                    continue
            out[key] = item
            out.at[key] = marks(value, key)
        return out
    items = []
    for item in value:
        if isinstance(item, str) and "=" not in item:
            if item in environment:
                items.append(f"{item}={environment[item]}")
            elif keep:
                items.append(item)
        else:
            items.append(item)
    return type(value)(items)


def _dependencies(service: Map) -> None:
    """Add what links, shared namespaces and volumes_from imply."""
    implied: dict[str, tuple[bool, Any]] = {}
    for index, link in enumerate(service.get("links") or ()):
        parts = split_colons(link)
        implied.setdefault(parts[0] if len(parts) == 2 else link, (True, marks(service["links"], index)[1]))
    for namespace in NAMESPACES:
        reference = service.get(namespace)
        if isinstance(reference, str) and reference.startswith("service:"):
            implied.setdefault(reference.removeprefix("service:"), (True, marks(service, namespace)[1]))
    for index, source in enumerate(service.get("volumes_from") or ()):
        if not source.startswith("container:"):
            implied.setdefault(split_colons(source)[0], (False, marks(service["volumes_from"], index)[1]))
    if not implied:
        return
    depends_on = service.get("depends_on") or Map()
    for name, (restart, mark) in implied.items():
        if name not in depends_on:
            depends_on[name] = made(
                {"condition": "service_started", "restart": restart, "required": True}, mark
            )
            depends_on.at[name] = (mark, mark)
    service["depends_on"] = depends_on


def _names(resources: Map, project: str) -> None:
    """Call resources without a name PROJECT_KEY, or KEY when they are external."""
    for key, resource in resources.items():
        if resource is None:
            resource = resources[key] = Map()  # noqa: PLW2901
        if resource.get("name") is None:
            resource["name"] = key if resource.get("external") is True else f"{project}_{key}"
